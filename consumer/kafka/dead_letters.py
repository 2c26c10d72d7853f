"""Reads the dead-letter topic: all of it to know what it holds, then chosen dead letters with their bytes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing

from confluent_kafka import Consumer

from consumer.dead_letters import Contents, DeadLetter, Position, WholeLetter
from consumer.errors import ReaderError
from consumer.kafka.clients import make_consumer, reader_config
from consumer.kafka.reading import OffsetRange, make_reader, offset_ranges, read_batches
from consumer.settings import Settings


class StoppedError(ReaderError):
    """A signal came before the topic was read to its end: what was read says too little to act on."""


def dead_letter_reader(settings: Settings) -> Consumer:
    """A consumer for the functions here; it commits nothing and disturbs no group."""
    return make_reader(settings, f"{settings.kafka_group_id}-dead-letters")


def ranges_with_open_transactions(settings: Settings) -> dict[int, OffsetRange]:
    """What each partition holds, also behind the first transaction that is open still: there may be receipts there."""
    config = reader_config(settings, f"{settings.kafka_group_id}-dead-letters", "earliest")
    with closing(make_consumer(config | {"isolation.level": "read_uncommitted"})) as consumer:
        return offset_ranges(consumer, settings.dead_letter_topic)


def read_contents(
    consumer: Consumer,
    topic: str,
    ranges: Mapping[int, OffsetRange],
    *,
    idle_s: float,
    stopping: Callable[[], bool],
    on_read: Callable[[int], None],
) -> Contents:
    """Read the whole topic; `on_read` is told how many records were read so far.

    Raises `StoppedError` when a signal came before the end, `KafkaUnavailableError` when the topic cannot be read.
    """
    starts = {partition: there.low for partition, there in ranges.items()}
    ends = {partition: there.high for partition, there in ranges.items()}
    contents = Contents()
    read = 0
    for records in read_batches(consumer, topic, starts, ends, idle_s=idle_s, stopping=stopping):
        for record in records:
            contents.add(record)
        read += len(records)
        on_read(read)
    if stopping():
        raise StoppedError(f"Stopped by a signal before {topic} was read to its end; nothing was changed.")
    return contents


def read_letters(
    consumer: Consumer, topic: str, letters: Iterable[DeadLetter], *, idle_s: float, stopping: Callable[[], bool]
) -> Iterator[WholeLetter]:
    """Read these dead letters again, now with their bytes; what retention has removed meanwhile does not come.

    Ends early when `stopping()`. Raises `KafkaUnavailableError` when the topic cannot be read.
    """
    wanted = {letter.position: letter for letter in letters}
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for partition, offset in wanted:
        starts[partition] = min(offset, starts.get(partition, offset))
        ends[partition] = max(offset + 1, ends.get(partition, 0))
    for records in read_batches(consumer, topic, starts, ends, idle_s=idle_s, stopping=stopping):
        for record in records:
            if letter := wanted.get(Position(record.partition, record.offset)):
                yield WholeLetter(letter, record)
