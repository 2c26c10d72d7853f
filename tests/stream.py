"""A running consumer for tests, and what a producer and a subscriber see of it."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from consumer.app import run_with
from consumer.loading import LoadedModel
from consumer.policy import Policy
from consumer.settings import Settings
from schemas import TaggedComment


class Member:
    """One member of the group, in a thread."""

    def __init__(self, settings: Settings, engine: LoadedModel) -> None:
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(settings, engine), daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 60) -> None:
        """Ask for a clean end and wait for it."""
        self._stop.set()
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the member did not stop"

    def wait_until_dead(self, timeout_s: float = 60) -> BaseException | None:
        """Wait for it to end by itself; returns its error."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the member did not end"
        return self.error

    def _run(self, settings: Settings, engine: LoadedModel) -> None:
        try:
            run_with(settings, engine, Policy(), self._stop.is_set)
        except BaseException as error:
            self.error = error


@contextmanager
def member(settings: Settings, engine: LoadedModel) -> Iterator[Member]:
    """A member that is stopped at the end and must not have failed."""
    running = Member(settings, engine)
    try:
        yield running
    finally:
        running.stop()
    assert running.error is None, running.error


def comment(comment_id: str, text: str, **fields: object) -> bytes:
    """A comment as a producer writes it."""
    return json.dumps({"id": comment_id, "text": text, **fields}).encode()


def produce(
    settings: Settings, values: Iterable[bytes | None], key: Callable[[int], bytes] | None = None, **config: object
) -> None:
    """Send records in order and wait until all are acknowledged."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "enable.idempotence": True,
            "message.max.bytes": 100_000_000,
            **config,
        }
    )
    for number, value in enumerate(values):
        headers: list[tuple[str, str | bytes | None]] = [
            ("number", str(number).encode()),
            ("traceparent", b"00-11-22-01"),
        ]
        while True:
            try:
                producer.produce(settings.input_topic, value=value, key=key(number) if key else None, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


class Subscriber:
    """Reads results and dead letters from their beginning, without a group."""

    def __init__(self, settings: Settings) -> None:
        self.messages: list[Message] = []
        self._settings = settings
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_servers,
                "group.id": "test-subscriber",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "fetch.message.max.bytes": 20_000_000,
                "receive.message.max.bytes": 200_000_000,
            }
        )
        metadata = self._consumer.list_topics(timeout=10).topics
        topics = [settings.results_topic, settings.dead_letter_topic]
        self._consumer.assign([TopicPartition(topic, p, 0) for topic in topics for p in metadata[topic].partitions])

    def read(self, count: int, timeout_s: float = 60) -> list[Message]:
        """Read until `count` messages have come in all; asserts that they did."""
        deadline = time.monotonic() + timeout_s
        while len(self.messages) < count and time.monotonic() < deadline:
            for message in self._consumer.consume(1000, timeout=0.05):
                assert message.error() is None, message.error()
                self.messages.append(message)
        assert len(self.messages) >= count, f"{len(self.messages)} of {count} came out within {timeout_s} s"
        return self.messages

    def read_no_more(self, for_s: float = 1.0) -> None:
        """Assert that nothing else comes out for a while."""
        before = len(self.messages)
        self.messages.extend(m for m in self._consumer.consume(1000, timeout=for_s) if m.error() is None)
        assert len(self.messages) == before, f"{len(self.messages) - before} more came out"

    def events(self) -> list[TaggedComment]:
        """The tagged comments read so far."""
        return [TaggedComment.model_validate_json(m.value() or b"") for m in self.messages if not self._is_dead(m)]

    def dead_letters(self) -> list[Message]:
        """The dead letters read so far."""
        return [m for m in self.messages if self._is_dead(m)]

    def numbers(self) -> list[int]:
        """The `number` headers of everything read so far."""
        return [int(headers(m)["number"]) for m in self.messages]

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def _is_dead(self, message: Message) -> bool:
        return message.topic() == self._settings.dead_letter_topic


@contextmanager
def subscriber(settings: Settings) -> Iterator[Subscriber]:
    """A subscriber that is closed at the end."""
    reading = Subscriber(settings)
    try:
        yield reading
    finally:
        reading.close()


def headers(message: Message) -> dict[str, bytes]:
    """A message's headers; the last of a name counts."""
    return {name: value for name, value in dict(message.headers() or ()).items() if isinstance(value, bytes)}


def committed(settings: Settings) -> int:
    """The sum of the group's committed offsets over all partitions."""
    reader = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_group_id})
    partitions = reader.list_topics(settings.input_topic, timeout=10).topics[settings.input_topic].partitions
    offsets = reader.committed([TopicPartition(settings.input_topic, p) for p in partitions], timeout=10)
    reader.close()
    return sum(max(0, offset.offset) for offset in offsets)


def let_results_have(settings: Settings, most_bytes: int) -> None:
    """Let the results topic take no message above this size; needs Apache Kafka."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    entry = ConfigEntry("max.message.bytes", str(most_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.results_topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=10)
