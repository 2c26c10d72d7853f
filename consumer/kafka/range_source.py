"""Reads what the input topic holds between two moments, once, as a group of its own that only keeps the offsets."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.backoff import Backoff
from consumer.batch import Batch, Item, Lease
from consumer.kafka.assignment import Assignment
from consumer.kafka.clients import KafkaUnavailableError
from consumer.kafka.passing import committing_passes
from consumer.kafka.reading import offset_ranges
from consumer.kafka.records import arrived, raise_unless_passing, record_of
from consumer.kafka.refusals import describe
from consumer.kafka.source import SERVE_EVERY_S, Offsets

T = TypeVar("T")

ASK_TIMEOUT_S = 60.0
"""The brokers keep the group's offsets back while a transaction of an earlier run is open; what a killed run left open
is aborted after KAFKA_TRANSACTION_TIMEOUT_MS (10 s) and up to 10 s more."""
CLOSE_TIMEOUT_S = 10.0


class TimeRange(NamedTuple):
    """Two moments in milliseconds since 1970: what was written at the first or later, and before the second."""

    from_ms: int
    to_ms: int


class Span(NamedTuple):
    """Offsets of one partition: where the range begins, where earlier runs of it ended, and the first one behind it."""

    begin: int
    next: int
    end: int


@dataclass
class RangeProgress:
    """How far a range is read, in offsets: the brokers' own records, such as marks of transactions, count too."""

    total: int = 0
    read: int = 0
    finished: bool = False


def find_spans(consumer: Consumer, topic: str, time_range: TimeRange) -> dict[int, Span]:
    """The range in every partition: from the first record since `from_ms` up to the first one since `to_ms`, or to the
    present end where there is none.

    Raises `KafkaUnavailableError` when the topic, or the group's offsets, cannot be asked.
    """
    ends = {partition: there.high for partition, there in offset_ranges(consumer, topic).items()}
    begins = _asked(topic, lambda: _first_since(consumer, topic, time_range.from_ms, ends))
    behind = _asked(topic, lambda: _first_since(consumer, topic, time_range.to_ms, ends))
    places = [TopicPartition(topic, p) for p in ends]
    committed = _asked(topic, lambda: consumer.committed(places, timeout=ASK_TIMEOUT_S))
    return {
        place.partition: _span(begins[place.partition], place.offset, behind[place.partition]) for place in committed
    }


def _asked(topic: str, ask: Callable[[], T]) -> T:
    """The brokers' answer; a new group, for example, has no coordinator for a moment."""
    patience = Backoff(SERVE_EVERY_S, 2.0, ASK_TIMEOUT_S)
    while True:
        try:
            return ask()
        except KafkaException as exception:
            delay_s = patience.delay_s() if committing_passes(exception.args[0]) else None
            if delay_s is None:
                raise KafkaUnavailableError(
                    f"{topic} cannot be asked for the offsets of a time: {describe(exception)}. Check the brokers, and "
                    "that this user may read the topic and use the group."
                ) from None
            time.sleep(delay_s)


def _span(begin: int, committed: int, end: int) -> Span:
    """Reading goes on where the group had committed, also where retention has removed that: the client then says so.

    Records may come while the brokers are asked: a partition that had none since `from_ms` then begins behind its end.
    """
    if begin >= end:
        return Span(end, end, end)
    next_offset = begin if committed < 0 else min(committed, end)
    return Span(min(begin, next_offset), next_offset, end)


def _first_since(consumer: Consumer, topic: str, time_ms: int, ends: Mapping[int, int]) -> dict[int, int]:
    """The offset of the first record of each partition since a time, or the partition's end where there is none."""
    asked = [TopicPartition(topic, partition, time_ms) for partition in ends]
    found = consumer.offsets_for_times(asked, timeout=ASK_TIMEOUT_S)
    for place in found:
        if place.error is not None:
            raise KafkaException(place.error)
    return {place.partition: place.offset if place.offset >= 0 else ends[place.partition] for place in found}


class RangeSource:
    """A source that ends. It is assigned its partitions and joins no group, so it disturbs no member, and back-pressure
    needs nothing of it: what is read ahead is bounded, and nobody waits for it to poll.

    All methods belong to one thread. `progress.finished` turns true when every record of the range is out and the
    group's offsets say so; the next run of the same range then finds nothing to do.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        spans: Mapping[int, Span],
        assignment: Assignment,
        offsets: Offsets,
        progress: RangeProgress,
        *,
        max_records: int,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._assignment = assignment
        self._offsets = offsets
        self._progress = progress
        self._max_records = max_records
        self._ends = {partition: span.end for partition, span in spans.items() if span.next < span.end}
        self._positions = {partition: spans[partition].next for partition in self._ends}
        progress.total = sum(span.end - span.begin for span in spans.values())
        progress.read = progress.total - sum(self._ends[p] - position for p, position in self._positions.items())
        assignment.grant((topic, partition) for partition in self._ends)
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in self._positions.items()])

    def take(self, timeout_s: float) -> Batch | None:
        """What has come of the range, or None after `timeout_s`, and None for ever behind its end.

        Raises `SourceError` when the topic cannot be read any more.
        """
        self._offsets.serve()
        if not self._ends:
            self._finish(timeout_s)
            return None
        return self._batch(arrived(self._consumer, self._max_records, timeout_s))

    def serve_offsets(self) -> bool:
        """Do what offsets need of this thread, while it waits elsewhere than in `take`; True when nothing is left."""
        return self._offsets.serve()

    def put_back_pressure(self) -> None:
        """Wait a moment."""
        self._offsets.serve()
        time.sleep(SERVE_EVERY_S / 2)

    def release(self) -> None:
        """Nothing was stopped."""

    def close(self) -> None:
        """Commit what is finished, and let go of the topic."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        try:
            while not self._offsets.serve(wait=True) and time.monotonic() < deadline:
                time.sleep(SERVE_EVERY_S)
        finally:
            self._consumer.close()

    def _batch(self, messages: list[Message]) -> Batch | None:
        items: list[Item] = []
        next_offsets: dict[Lease, int] = {}
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise_unless_passing(error, message)
                continue
            partition, offset = message.partition() or 0, message.offset() or 0
            lease = self._assignment.lease(self._topic, partition)
            if lease is None or partition not in self._ends:
                continue  # fetched before its partition was let go, from behind the range
            if error is None and offset < self._ends[partition]:
                record, refusal = record_of(message)
                items.append(Item(record, lease, refusal=refusal))
                offset += 1
            if error is None or offset >= self._ends[partition]:
                next_offsets[lease] = self._move(partition, offset)
        # Behind the last record there may be marks of transactions only: a batch without items then says that the end
        # is reached, on the same way and in the same order as any other.
        return Batch(items, next_offsets) if next_offsets else None

    def _move(self, partition: int, offset: int) -> int:
        """Note how far a partition is read; returns the offset to commit for it. At its end, let it go."""
        position = min(offset, self._ends[partition])
        self._progress.read += position - self._positions[partition]
        self._positions[partition] = position
        if position == self._ends[partition]:
            del self._ends[partition]
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
        return position

    def _finish(self, timeout_s: float) -> None:
        """Wait for what is in flight, however slow the model is: only a stop has a deadline."""
        drained = self._assignment.wait_until_finished(self._assignment.partitions(), timeout_s)
        if drained and self._offsets.serve(wait=True):
            self._progress.finished = True
