"""The broker that all streams of a run share, its topics, and how many results are in one."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from pydantic_core import to_json

from consumer.kafka.embedded import FETCH_WAIT_MAX_MS, embedded_broker
from consumer.kafka.publisher import produce
from tests.brokers import apache_kafka
from tests.waiting import wait_until

PARTITIONS = 4
END = OffsetSpec.latest()  # type: ignore[no-untyped-call]
DEAD_LETTER_TOPIC = "dead-letters"
LOOKS_EVERY_S = 0.05
"""A look costs the broker a request and this process about a millisecond."""
STARTED_WITHIN_S = 120.0
READ_AT_ONCE, READ_WITHIN_S = 10_000, 2.0
FETCH_WAIT_DEFAULT_MS = 500
BY_KEY = -1
QUIET: dict[str, str | int | float | bool] = {"log_level": 2}


class StreamError(RuntimeError):
    """A stream could not be measured; the message says why."""


class Look(NamedTuple):
    """How many results there were, and when (monotonic clock)."""

    at_s: float
    results: int


class Rig:
    """A broker with topics that nobody else writes to; made by `rig`."""

    def __init__(self, bootstrap: str, directory: Path, *, embedded: bool) -> None:
        self.bootstrap = bootstrap
        self.directory = directory
        self.embedded = embedded
        self._admin = AdminClient(QUIET | {"bootstrap.servers": bootstrap})
        self._numbers = count()

    @property
    def broker(self) -> str:
        """What it is, for the reader."""
        return "librdkafka's mock cluster" if self.embedded else "Apache Kafka"

    @property
    def fetch_wait_max_ms(self) -> int:
        """Kafka answers a waiting fetch as soon as there is something, the mock cluster only when the wait is over."""
        return FETCH_WAIT_MAX_MS if self.embedded else FETCH_WAIT_DEFAULT_MS

    def name(self, kind: str) -> str:
        """A name that was not used before."""
        return f"{kind}-{next(self._numbers)}"

    def topic(self, kind: str) -> str:
        """A new empty topic: both brokers make one, with 4 partitions, when it is first asked for."""
        return self.create(self.name(kind))

    def create(self, topic: str) -> str:
        """Make this one."""

        def ready() -> bool:
            if len(self._admin.list_topics(topic, timeout=10).topics[topic].partitions) < PARTITIONS:
                return False
            try:
                return self.look(topic).results == 0
            except KafkaException:  # a partition that has no leader yet
                return False

        wait_until(ready)
        return topic

    def filled(self, texts: Sequence[str], keys: Iterable[str] | None = None, *, in_turn: bool = False) -> str:
        """A new topic with a comment for each text, all of them acknowledged; `keys` are theirs, else their ids. The
        partition is that of the key, or each `in_turn`."""
        topic = self.topic("comments")
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 50, "compression.type": "lz4"} | QUIET)
        ids = [f"b-{number}" for number in range(len(texts))]
        for number, (key, text) in enumerate(zip(ids if keys is None else keys, texts, strict=True)):
            value = to_json({"id": ids[number], "text": text})
            produce(producer, topic, value=value, key=key, partition=number % PARTITIONS if in_turn else BY_KEY)
        if unsent := producer.flush(60):
            raise StreamError(f"{unsent} comments could not be sent")
        return topic

    def look(self, topic: str) -> Look:
        """Count by the broker's own offsets: a reader would take its share of the cores from those who are measured."""
        ends = {TopicPartition(topic, number): END for number in range(PARTITIONS)}
        results = sum(future.result().offset for future in self._admin.list_offsets(ends).values())
        return Look(time.monotonic(), results)

    def doubles(self, topic: str) -> int:
        """How many of the results in `topic` are of a comment that has one already, by their keys."""
        wanted = self.look(topic).results
        told = {"bootstrap.servers": self.bootstrap, "group.id": self.name("reader"), "auto.offset.reset": "earliest"}
        reader = Consumer(QUIET | told)
        reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        keys: list[object] = []
        while len(keys) < wanted and (messages := reader.consume(READ_AT_ONCE, READ_WITHIN_S)):
            keys += [message.key() for message in messages if message.error() is None]
        reader.close()
        return len(keys) - len(set(keys))


@contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    """Apache Kafka where the tests find one, else the embedded broker."""
    with ExitStack() as stack:
        try:
            bootstrap, embedded = stack.enter_context(apache_kafka(directory)), False
        except pytest.skip.Exception:
            bootstrap, embedded = stack.enter_context(embedded_broker([])), True
        here = Rig(bootstrap, directory, embedded=embedded)
        here.create(DEAD_LETTER_TOPIC)
        yield here


def rate_per_s(
    here: Rig, topic: str, seconds: float, *, warm_up: int, most: int, raise_if_dead: Callable[[], None]
) -> float:
    """Results per second in `topic`, from the first that come after `warm_up` until `seconds` later or until all
    `most` are there. Results come a batch at a time, so both ends are moments at which some came.
    """
    gives_up_s = time.monotonic() + STARTED_WITHIN_S + 3 * seconds
    began: Look | None = None
    last = Look(0.0, 0)
    while last.results < most and (began is None or last.at_s < began.at_s + seconds):
        raise_if_dead()
        time.sleep(LOOKS_EVERY_S)
        now = here.look(topic)
        if now.results > last.results:
            last = now
            began = began or (now if now.results > warm_up else None)
        elif now.at_s > gives_up_s:
            raise StreamError(f"only {last.results} results came: too few to tell a rate")
    if began is None or last.results == began.results:
        raise StreamError(f"all {last.results} results came at once: too few to tell a rate")
    return (last.results - began.results) / (last.at_s - began.at_s)
