"""Faust: an agent that takes many events at once from its stream. The model works in a thread, so the loop stays free;
events count as acknowledged when the next ones are taken, and by then their results are.
"""

import asyncio
import tempfile
from typing import Any

import faust  # type: ignore[import-not-found]

from tests.benchmarks.peers.classifier import BATCH_RECORDS, Classifier
from tests.benchmarks.peers.stream_peer import Options, options

PARTITIONS = 4


def main() -> None:
    """Run until SIGTERM, which the worker handles itself."""
    told = options()
    with tempfile.TemporaryDirectory(prefix="faust-") as directory:
        work(told, directory)


def work(told: Options, directory: str) -> None:
    """Keep what Faust writes in `directory`."""
    classify = Classifier(told.model, told.cache)
    app = faust.App(
        told.group,
        broker=f"kafka://{told.bootstrap}",
        datadir=directory,
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        web_enabled=False,
    )
    results_topic = app.topic(told.output)

    @app.agent(app.topic(told.input, value_serializer="json"))  # type: ignore[untyped-decorator]
    async def handle(comments: Any) -> None:
        async for batch in comments.take(BATCH_RECORDS, within=0.1):
            results = await asyncio.to_thread(classify, batch)
            sent = [await results_topic.send(key=result["id"], value=result) for result in results]
            await asyncio.gather(*sent)

    faust.Worker(app, loglevel="warning").execute_from_commandline()


if __name__ == "__main__":
    main()
