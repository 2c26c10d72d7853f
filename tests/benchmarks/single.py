"""Sends one comment and waits for its result, again and again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic_core import to_json

from tests.benchmarks.contenders import Lane, Running
from tests.benchmarks.rig import PARTITIONS, QUIET, STARTED_WITHIN_S, StreamError

LOOKS_EVERY_S = 0.5


class SingleClient:
    """The only one who sends into a lane; made by `single_client`."""

    def __init__(self, where: Lane, stream: Running, producer: Producer, reader: Consumer) -> None:
        self._topic = where.input
        self._stream = stream
        self._producer = producer
        self._reader = reader
        self._sent = 0

    def seconds(self, text: str) -> float:
        """From before the comment is sent until its result is read. Raises `StreamError` when none comes."""
        value = to_json({"id": f"s-{self._sent}", "text": text})
        began_s = time.perf_counter()
        self._producer.produce(self._topic, value=value, key=f"s-{self._sent}")
        self._sent += 1
        while (result := self._reader.poll(LOOKS_EVERY_S)) is None:
            self._stream.raise_if_dead()
            if time.perf_counter() > began_s + STARTED_WITHIN_S:
                raise StreamError(f"{self._stream.log.stem} gave no result within {STARTED_WITHIN_S:g} s")
        took_s = time.perf_counter() - began_s
        if result.error() is not None:
            raise StreamError(f"the results cannot be read: {result.error()}")
        self._producer.poll(0)
        return took_s


@contextmanager
def single_client(where: Lane, stream: Running) -> Iterator[SingleClient]:
    """A client that waits for nothing but the stream."""
    common = {"bootstrap.servers": where.bootstrap} | QUIET
    reader = Consumer(common | {"group.id": f"{where.group}-reader", "fetch.wait.max.ms": where.fetch_wait_max_ms})
    reader.assign([TopicPartition(where.output, number, 0) for number in range(PARTITIONS)])
    try:
        yield SingleClient(where, stream, Producer(common | {"linger.ms": 0}), reader)
    finally:
        reader.close()
