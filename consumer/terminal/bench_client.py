"""Whoever sends the comments that are measured, and sees what comes of them and when."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import KafkaException, Message, Producer
from pydantic_core import to_json

from consumer.kafka.clients import make_producer, producer_config
from consumer.kafka.reading import outcomes_reader
from consumer.kafka.records import arrived
from consumer.kafka.refusals import describe
from consumer.settings import Settings
from consumer.terminal.bench_member import BenchError

NUMBER_HEADER = "bench-number"
READ_AT_ONCE = 1_000
POLL_S = 0.05


class RecordBytes(NamedTuple):
    """Mean size of a comment and of its result, key and value, in bytes."""

    comment_bytes: float
    result_bytes: float


class BenchClient:
    """Numbers the comments it sends; `arrivals_s` has, by number, when the result was read (monotonic clock). Made by
    `bench_client`; sends from one thread."""

    def __init__(self, settings: Settings, producer: Producer) -> None:
        self.sent = 0
        self.arrivals_s: dict[int, float] = {}
        self._topic = settings.input_topic
        self._producer = producer
        self._sent_bytes = 0
        self._result_bytes = 0
        self._dead_letter_topic = settings.dead_letter_topic
        self._problem = ""

    @property
    def outstanding(self) -> int:
        """Comments whose result has not been read yet."""
        return self.sent - len(self.arrivals_s)

    @property
    def record_bytes(self) -> RecordBytes:
        """Mean sizes so far, of at least one comment."""
        return RecordBytes(self._sent_bytes / self.sent, self._result_bytes / max(1, len(self.arrivals_s)))

    def send(self, text: str) -> int:
        """Send one comment, and return its number. Raises `BenchError` when the broker does not take it."""
        number = self.sent
        value = to_json({"id": f"b-{number}", "text": text})
        key = f"b-{number}".encode()
        try:
            self._producer.produce(self._topic, value=value, key=key, headers=[(NUMBER_HEADER, str(number).encode())])
        except KafkaException as error:
            raise BenchError(f"the embedded broker does not take comments: {describe(error)}") from None
        self.sent += 1
        self._sent_bytes += len(key) + len(value)
        return number

    def wait(self, for_s: float) -> None:
        """Let the time pass. Raises `BenchError` when a result came that should not have."""
        self._producer.poll(for_s)
        if self._problem:
            raise BenchError(self._problem)

    def take(self, message: Message, arrival_s: float) -> None:
        """Book what was read."""
        if message.error() is not None:
            return
        if message.topic() == self._dead_letter_topic:
            self._problem = "a comment to measure with came out as a dead letter; see `moderate classify` with MODEL"
            return
        number = int(dict(message.headers() or ())[NUMBER_HEADER] or b"")
        self.arrivals_s.setdefault(number, arrival_s)
        self._result_bytes += len(message.value() or b"") + len(message.key() or b"")


@contextmanager
def bench_client(settings: Settings) -> Iterator[BenchClient]:
    """A client whose reader runs in a thread until the context ends."""
    client = BenchClient(settings, make_producer(producer_config(settings)))
    over = threading.Event()
    with outcomes_reader(settings, "moderate-bench") as reader:

        def read() -> None:
            while not over.is_set():
                if messages := arrived(reader, READ_AT_ONCE, POLL_S):
                    arrival_s = time.monotonic()
                    for message in messages:
                        client.take(message, arrival_s)

        thread = threading.Thread(target=read, name="bench-reader", daemon=True)
        thread.start()
        try:
            yield client
        finally:
            over.set()
            thread.join()
