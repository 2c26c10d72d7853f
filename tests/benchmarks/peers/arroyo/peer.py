"""sentry-arroyo: batches, a task for each, and the results one by one to a producer; as in its own example
`transform_and_produce`.
"""

import signal
from collections.abc import Iterable, Mapping

from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer  # type: ignore[import-not-found]
from arroyo.backends.kafka.configuration import (  # type: ignore[import-not-found]
    build_kafka_consumer_configuration,
    build_kafka_producer_configuration,
)
from arroyo.processing import StreamProcessor  # type: ignore[import-not-found]
from arroyo.processing.strategies import BatchStep, CommitOffsets, Produce, RunTask, UnbatchStep  # type: ignore[import-not-found]
from arroyo.processing.strategies.abstract import ProcessingStrategy, ProcessingStrategyFactory  # type: ignore[import-not-found]
from arroyo.processing.strategies.batching import ValuesBatch  # type: ignore[import-not-found]
from arroyo.types import Commit, Message, Partition, Topic, Value  # type: ignore[import-not-found]

from tests.benchmarks.peers.classifier import BATCH_RECORDS, Classifier, decoded, encoded
from tests.benchmarks.peers.stream_peer import Options, options

LONGEST_BATCH_S = 0.1


class Strategies(ProcessingStrategyFactory[KafkaPayload]):  # type: ignore[misc]
    """Batch, classify, produce, commit."""

    def __init__(self, told: Options) -> None:
        self._classify = Classifier(told.model, told.cache)
        self._topic = Topic(told.output)
        self._producer = KafkaProducer(build_kafka_producer_configuration({}, bootstrap_servers=[told.bootstrap]))

    def create_with_partitions(
        self, commit: Commit, _partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        """The steps, from the last one to the first."""
        produce = Produce(self._producer, self._topic, CommitOffsets(commit))
        return BatchStep(BATCH_RECORDS, LONGEST_BATCH_S, RunTask(self._results, UnbatchStep(produce)))

    def _results(self, batch: Message[ValuesBatch[KafkaPayload]]) -> Iterable[Value[KafkaPayload]]:
        results = self._classify(decoded([record.payload.value for record in batch.payload]))
        return [
            Value(KafkaPayload(result["id"].encode(), encoded(result), []), record.committable)
            for result, record in zip(results, batch.payload, strict=True)
        ]


def main() -> None:
    """Run until SIGTERM."""
    told = options()
    config = build_kafka_consumer_configuration(
        {}, told.group, auto_offset_reset="earliest", bootstrap_servers=[told.bootstrap]
    )
    processor = StreamProcessor(KafkaConsumer(config), Topic(told.input), Strategies(told))
    signal.signal(signal.SIGTERM, lambda *_: processor.signal_shutdown())
    processor.run()


if __name__ == "__main__":
    main()
