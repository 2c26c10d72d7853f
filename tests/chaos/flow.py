"""A steady flow of numbered comments, and everything that comes out of it; `verdict.py` judges it."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from pydantic_core import from_json

from consumer.kafka.clients import common_config
from consumer.settings import Settings
from tests.stream import comment
from tests.stream import headers as headers_of

UNDELIVERABLE_AFTER_MS = 600_000
"""Longer than any outage of a scenario: what the flow sent, it sent."""
QUIET: dict[str, Any] = {"log_level": 0}
"""Brokers go away here on purpose: librdkafka need not say so twenty times a second."""


class Flow:
    """Sends comments `0, 1, 2…` with the header `number`, the key `k<n % keys>` and the id `c-<n>`, at a steady rate
    (`math.inf` = as fast as they are taken), until it is stopped. Outages of brokers are waited out.
    """

    def __init__(
        self, settings: Settings, rate_per_s: float, keys: int, text: Callable[[int], str] = "comment number {}".format
    ) -> None:
        self.sent = 0
        self.acknowledged: set[int] = set()
        self._topic = settings.input_topic
        self._rate_per_s = rate_per_s
        self._keys = keys
        self._text = text
        self._producer = Producer(
            common_config(settings)
            | settings.kafka_extra_config
            | QUIET
            | {"enable.idempotence": True, "linger.ms": 5, "delivery.timeout.ms": UNDELIVERABLE_AFTER_MS}
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="flow")

    def start(self) -> "Flow":
        """Begin to send."""
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 60) -> None:
        """Stop sending, and wait until Kafka has acknowledged what was sent."""
        self._stopping.set()
        self._thread.join()
        self._producer.flush(timeout_s)

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stopping.is_set():
            due = min((time.monotonic() - began_s) * self._rate_per_s, self.sent + 1_000)
            while self.sent < due:
                self._send(self.sent)
                self.sent += 1
            self._producer.poll(0.005)

    def _send(self, number: int) -> None:
        value = comment(f"c-{number}", self._text(number))
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    value=value,
                    key=f"k{number % self._keys}",
                    headers=[("number", str(number).encode())],
                    on_delivery=partial(self._delivered, number),
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _delivered(self, number: int, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.acknowledged.add(number)


class Outcome(NamedTuple):
    """One record that came out: a tagged comment, or a dead letter with its `reason`.

    `number` is -1 where the record has none; `source_partition` is the input topic's; `arrival_s` is monotonic.
    """

    number: int
    event_id: str
    reason: str
    source_partition: int
    partition: int
    offset: int
    key: bytes | None
    arrival_s: float


class Seen:
    """Reads results and dead letters from their beginning, without a group, in a thread; `outcomes` grows."""

    def __init__(self, settings: Settings, isolation: str = "read_committed") -> None:
        self.outcomes: list[Outcome] = []
        self.numbers: set[int] = set()
        self._results_topic = settings.results_topic
        config = common_config(settings) | settings.kafka_extra_config | QUIET | {"group.id": "chaos-subscriber"}
        large = {"fetch.message.max.bytes": 20_000_000, "receive.message.max.bytes": 200_000_000}
        self._reader = Consumer(
            config | large | {"isolation.level": isolation, "enable.auto.commit": False, "enable.partition.eof": True}
        )
        self._watcher = Consumer(config | {"isolation.level": "read_uncommitted"})
        metadata = self._watcher.list_topics(timeout=30).topics
        topics = (settings.results_topic, settings.dead_letter_topic)
        self._partitions = [(topic, partition) for topic in topics for partition in metadata[topic].partitions]
        self._read_up_to: dict[tuple[str, int], int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="seen")

    def start(self) -> "Seen":
        """Begin to read."""
        self._reader.assign([TopicPartition(topic, partition, 0) for topic, partition in self._partitions])
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop reading and let go of the broker."""
        self._stopping.set()
        self._thread.join()
        self._reader.close()
        self._watcher.close()

    def wait_for(self, numbers: Iterable[int], timeout_s: float, quiet_s: float = math.inf) -> bool:
        """Wait until all these numbers have been seen; False when they were not within `timeout_s`, or when nothing at
        all has come for `quiet_s`.
        """
        missing = set(numbers)
        began_s = time.monotonic()
        while missing := {number for number in missing if number not in self.numbers}:
            now_s = time.monotonic()
            last_s = max(began_s, self.outcomes[-1].arrival_s if self.outcomes else 0.0)
            if now_s > began_s + timeout_s or now_s > last_s + quiet_s:
                return False
            time.sleep(0.1)
        return True

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait until everything in the topics has been read, and no transaction is open any more; for when all members
        are gone. False when it took longer than `timeout_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        unread = set(self._partitions)
        while unread and time.monotonic() < deadline_s:
            unread -= {place for place in unread if self._read_up_to.get(place, 0) >= self._end(*place)}
            time.sleep(0.1)
        return not unread

    def _end(self, topic: str, partition: int) -> float:
        """The offset behind the last record; infinite while the partition has no leader that could be asked."""
        try:
            return self._watcher.get_watermark_offsets(TopicPartition(topic, partition), 5)[1]
        except KafkaException:
            return math.inf

    def _run(self) -> None:
        while not self._stopping.is_set():
            first = self._reader.poll(0.05)
            if first is None:
                continue
            arrival_s = time.monotonic()
            for message in [first, *self._reader.consume(1_000, timeout=0)]:
                self._take(message, arrival_s)

    def _take(self, message: Message, arrival_s: float) -> None:
        error = message.error()
        place = message.topic() or "", message.partition() or 0
        if error is None:
            outcome = _outcome(message, place[0] == self._results_topic, arrival_s)
            self.outcomes.append(outcome)
            self.numbers.add(outcome.number)
            self._read_up_to[place] = outcome.offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            self._read_up_to[place] = message.offset() or 0


def _outcome(message: Message, tagged: bool, arrival_s: float) -> Outcome:
    headers = headers_of(message)
    if tagged:
        event = from_json(message.value() or b"")
        event_id, reason, source_partition = event["event_id"], "", event["source"]["partition"]
    else:
        topic, partition, offset = (headers[f"dlq.{part}"].decode() for part in ("topic", "partition", "offset"))
        event_id, reason, source_partition = (
            f"{topic}-{partition}-{offset}",
            headers["dlq.reason"].decode(),
            int(partition),
        )
    key = message.key()
    return Outcome(
        int(headers.get("number", b"-1")),
        event_id,
        reason,
        source_partition,
        message.partition() or 0,
        message.offset() or 0,
        key.encode() if isinstance(key, str) else key,
        arrival_s,
    )
