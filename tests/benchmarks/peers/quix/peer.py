"""Quix Streams: a `BatchingSink`, its way of doing something with many records at once; it is flushed before the
offsets are committed. (Its count windows are per key, and every comment has a key of its own.)
"""

from confluent_kafka import Producer
from quixstreams import Application  # type: ignore[import-not-found]
from quixstreams.sinks import BatchingSink, SinkBatch  # type: ignore[import-not-found]

from tests.benchmarks.peers.classifier import BATCH_RECORDS, Classifier, encoded
from tests.benchmarks.peers.stream_peer import Options, options


class ClassifyingSink(BatchingSink):  # type: ignore[misc]
    """Classifies what one partition gave since the last commit, and publishes the results."""

    def __init__(self, told: Options) -> None:
        super().__init__()
        self._classify = Classifier(told.model, told.cache)
        self._producer = Producer({"bootstrap.servers": told.bootstrap, "enable.idempotence": True, "linger.ms": 5})
        self._output = told.output

    def write(self, batch: SinkBatch) -> None:
        """Returns when all is acknowledged."""
        for chunk in batch.iter_chunks(BATCH_RECORDS):
            for result in self._classify([item.value for item in chunk]):
                self._producer.produce(self._output, value=encoded(result), key=result["id"])
        self._producer.flush()


def main() -> None:
    """Run until SIGTERM, which the application handles itself."""
    told = options()
    app = Application(
        told.bootstrap,
        consumer_group=told.group,
        auto_offset_reset="earliest",
        commit_every=BATCH_RECORDS,
        use_changelog_topics=False,
    )
    frame = app.dataframe(app.topic(told.input, value_deserializer="json"))
    frame.sink(ClassifyingSink(told))
    app.run()


if __name__ == "__main__":
    main()
