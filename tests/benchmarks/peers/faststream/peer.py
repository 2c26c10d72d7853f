"""FastStream on confluent-kafka with a batch subscriber. The model works in a thread, so the loop stays free;
offsets are committed when the handler has returned, and by then every result is acknowledged.
"""

import asyncio
from typing import Any

from faststream import AckPolicy, FastStream  # type: ignore[import-not-found]
from faststream.confluent import KafkaBroker, KafkaPublishMessage  # type: ignore[import-not-found]

from tests.benchmarks.peers.classifier import BATCH_RECORDS, Classifier
from tests.benchmarks.peers.stream_peer import options


def main() -> None:
    """Run until SIGTERM, which the application handles itself."""
    told = options()
    classify = Classifier(told.model, told.cache)
    broker = KafkaBroker(told.bootstrap)

    @broker.subscriber(  # type: ignore[untyped-decorator]
        told.input,
        group_id=told.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=BATCH_RECORDS,
    )
    async def handle(comments: list[dict[str, Any]]) -> None:
        results = await asyncio.to_thread(classify, comments)
        messages = (KafkaPublishMessage(result, key=result["id"].encode()) for result in results)
        await broker.publish_batch(*messages, topic=told.output)

    asyncio.run(FastStream(broker).run())


if __name__ == "__main__":
    main()
