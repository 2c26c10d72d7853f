"""What a dead-letter topic holds, which of it is meant, and what a replay does with that: pure, no Kafka."""

from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from consumer.batch import Record
from schemas import DeadLetterReason
from schemas.dead_letter import from_kafka, receipt_from_kafka

Source = tuple[str, int, int, int | None]


class Position(NamedTuple):
    """A place in the dead-letter topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class DeadLetter(NamedTuple):
    """What is remembered of a dead letter: nothing of its key, value and own headers, and flat, so that a million of
    them fit into memory (with as many receipts: 0.8 GB).
    """

    partition: int
    offset: int
    written_ms: int
    reason: DeadLetterReason
    attempts: int
    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp_ms: int | None

    @property
    def position(self) -> Position:
        """Its place in the dead-letter topic."""
        return Position(self.partition, self.offset)

    @property
    def source(self) -> Source:
        """The record that it was made of. The stream may have written two dead letters for one record, before and
        after a crash; these have the same source.
        """
        return self.source_topic, self.source_partition, self.source_offset, self.source_timestamp_ms


class WholeLetter(NamedTuple):
    """A dead letter with its bytes."""

    letter: DeadLetter
    record: Record


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant: those that meet every condition given. Times are when the dead letter was written,
    in milliseconds since 1970-01-01 UTC; `until_ms` itself is outside.
    """

    reasons: frozenset[DeadLetterReason] = frozenset()
    positions: frozenset[Position] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def wants(self, letter: DeadLetter) -> bool:
        """Whether the dead letter is one of them."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.positions or letter.position in self.positions)
            and (self.since_ms is None or letter.written_ms >= self.since_ms)
            and (self.until_ms is None or letter.written_ms < self.until_ms)
        )


@dataclass
class Contents:
    """The dead letters of a topic in its order within each partition, and what else was found there."""

    letters: list[DeadLetter] = field(default_factory=list)
    receipts: set[Position] = field(default_factory=set)
    others: int = 0

    def add(self, record: Record) -> None:
        """Sort one record in. One that is neither a dead letter nor a receipt is only counted."""
        if replayed := receipt_from_kafka(record.headers):
            self.receipts.add(Position(*replayed))
            return
        try:
            headers = from_kafka(record.headers)
        except ValueError:
            self.others += 1
            return
        self.letters.append(
            DeadLetter(
                partition=record.partition,
                offset=record.offset,
                written_ms=record.timestamp_ms or 0,
                reason=headers.reason,
                attempts=headers.attempts,
                source_topic=intern(headers.topic),
                source_partition=headers.partition,
                source_offset=headers.offset,
                source_timestamp_ms=headers.timestamp,
            )
        )

    def replayed_sources(self) -> set[Source]:
        """The records that were replayed; every dead letter made of one of them is done."""
        return {letter.source for letter in self.letters if letter.position in self.receipts}


@dataclass
class Plan:
    """What a replay does with the dead letters that were selected."""

    letters: list[DeadLetter] = field(default_factory=list)
    replayed_before: int = 0
    copies: int = 0
    exhausted: int = 0
    missing: list[Position] = field(default_factory=list)


def plan(contents: Contents, selection: Selection, max_attempts: int) -> Plan:
    """Choose what to replay: what is selected, each source record once, none that was replayed `max_attempts` times."""
    planned = Plan()
    before = contents.replayed_sources()
    now: set[Source] = set()
    for letter in filter(selection.wants, contents.letters):
        if letter.source in before:
            planned.replayed_before += 1
        elif letter.source in now:
            planned.copies += 1
        elif letter.attempts >= max_attempts:
            planned.exhausted += 1
        else:
            now.add(letter.source)
            planned.letters.append(letter)
    there = {letter.position for letter in contents.letters if letter.position in selection.positions}
    planned.missing = sorted(selection.positions - there)
    return planned
