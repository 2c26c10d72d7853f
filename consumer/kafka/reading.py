"""Reads one topic from given offsets to its present end, or for ever; can commit behind the reader's work."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.batch import Record
from consumer.kafka.calls import commit_and_wait
from consumer.kafka.clients import KafkaUnavailableError, make_consumer, reader_config
from consumer.kafka.passing import reading_passes
from consumer.kafka.records import arrived, record_of
from consumer.kafka.refusals import describe
from consumer.kafka.topics import REACH_TIMEOUT_S
from consumer.settings import Settings

log = structlog.get_logger()

BATCH_RECORDS = 1_000
POLL_S = 0.5
LOOK_FOR_PARTITIONS_EVERY_S = 60.0
COMMIT_PATIENCE_S = 120.0
METADATA_TIMEOUT_S = 10.0

_ELECTING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
"""A topic that was created a moment ago, or a broker that just went, has no leader yet that could be asked."""


class OffsetRange(NamedTuple):
    """The oldest offset that a partition still has, and the one behind its last record.

    For a `read_committed` consumer that is the last one before the first open transaction.
    """

    low: int
    high: int


def make_reader(settings: Settings, group_id: str) -> Consumer:
    """A consumer for `batches`. It is assigned its partitions instead of joining the group, which only keeps the
    offsets: a member that was killed would keep its successor waiting for the whole session timeout.
    """
    return make_consumer(reader_config(settings, group_id, "earliest") | {"enable.partition.eof": True})


@contextmanager
def outcomes_reader(settings: Settings, group_id: str) -> Iterator[Consumer]:
    """Reads results and dead letters from their beginning, without a group to join; closed when the context ends."""
    reader = make_consumer(reader_config(settings, group_id, "earliest"))
    topics = [settings.results_topic, settings.dead_letter_topic]
    metadata = reader.list_topics(timeout=METADATA_TIMEOUT_S).topics
    reader.assign([TopicPartition(topic, partition, 0) for topic in topics for partition in metadata[topic].partitions])
    try:
        yield reader
    finally:
        reader.close()


def offset_ranges(consumer: Consumer, topic: str) -> dict[int, OffsetRange]:
    """What each partition of the topic holds now. Raises `KafkaUnavailableError` when the topic cannot be asked."""
    deadline = time.monotonic() + REACH_TIMEOUT_S
    while True:
        try:
            return {
                partition: OffsetRange(
                    *consumer.get_watermark_offsets(TopicPartition(topic, partition), REACH_TIMEOUT_S)
                )
                for partition in _partitions(consumer, topic)
            }
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if error.code() not in _ELECTING or time.monotonic() > deadline:
                raise KafkaUnavailableError(_unreadable(topic, error)) from None
            time.sleep(POLL_S)


def batches(
    consumer: Consumer,
    topic: str,
    starts: Mapping[int, int],
    ends: Mapping[int, int] | None,
    *,
    idle_s: float,
    stopping: Callable[[], bool],
) -> Iterator[list[Record]]:
    """`read_batches` with commits: asking for the next batch says that the last one is safe, and commits it.

    Raises `KafkaUnavailableError` also when offsets cannot be committed.
    """
    uncommitted: dict[int, int] = {}
    last_commit = time.monotonic()
    for records in read_batches(consumer, topic, starts, ends, idle_s=idle_s, stopping=stopping):
        yield records
        uncommitted.update({record.partition: record.offset + 1 for record in records})
        if error := _commit(consumer, topic, uncommitted):
            log.debug("commit_retried", error=describe(error))
            if time.monotonic() - last_commit > COMMIT_PATIENCE_S:
                raise _commit_error(topic, error)
        else:
            uncommitted.clear()
            last_commit = time.monotonic()
    deadline = time.monotonic() + REACH_TIMEOUT_S
    while error := _commit(consumer, topic, uncommitted):
        if time.monotonic() > deadline:
            raise _commit_error(topic, error)
        time.sleep(POLL_S)


def read_batches(
    consumer: Consumer,
    topic: str,
    starts: Mapping[int, int],
    ends: Mapping[int, int] | None,
    *,
    idle_s: float,
    stopping: Callable[[], bool],
) -> Iterator[list[Record]]:
    """Read every partition from its start up to its end (the offset behind its last record), or for ever without ends.

    Yields what has come, or nothing after half a second without news; commits nothing. Ends early when `stopping()`.
    Partitions that a topic gets while it is read for ever are read from their beginning.

    Raises `KafkaUnavailableError` when the topic cannot be read, or when nothing came for `idle_s` before the ends.
    """
    consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
    unfinished = {partition for partition, end in (ends or {}).items() if starts[partition] < end}
    known = set(starts)
    last_news = last_look = time.monotonic()
    while not stopping() and (unfinished or ends is None):
        records, reached = _sorted_out(arrived(consumer, BATCH_RECORDS, POLL_S), topic)
        now = time.monotonic()
        if records or reached:
            last_news = now
        elif ends is not None and now - last_news > idle_s:
            raise KafkaUnavailableError(_fell_silent(topic, unfinished, idle_s))
        if ends is not None:
            unfinished -= {partition for partition, offset in reached.items() if offset >= ends[partition]}
            records = [record for record in records if record.offset < ends[record.partition]]
        yield records
        if ends is None and now - last_look > LOOK_FOR_PARTITIONS_EVERY_S:
            last_look = now
            known |= _assign_new(consumer, topic, known)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    metadata = consumer.list_topics(topic, timeout=REACH_TIMEOUT_S).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return sorted(metadata.partitions)


def _assign_new(consumer: Consumer, topic: str, known: set[int]) -> set[int]:
    """Read partitions that were added to the topic, too; returns them. Brokers that do not answer are asked later."""
    try:
        added = set(_partitions(consumer, topic)) - known
    except KafkaException as error:
        log.debug("partitions_unknown", error=describe(error))
        return set()
    consumer.incremental_assign([TopicPartition(topic, partition, 0) for partition in added])
    return added


def _sorted_out(messages: list[Message], topic: str) -> tuple[list[Record], dict[int, int]]:
    """The records, and the offset that each partition was read up to; errors that pass by themselves are left out."""
    records: list[Record] = []
    reached: dict[int, int] = {}
    for message in messages:
        partition, offset = message.partition() or 0, message.offset() or 0
        error = message.error()
        if error is None:
            records.append(record_of(message)[0])
            reached[partition] = offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            reached[partition] = offset
        elif not reading_passes(error):
            raise KafkaUnavailableError(_unreadable(topic, error))
    return records, reached


def _commit(consumer: Consumer, topic: str, next_offsets: Mapping[int, int]) -> KafkaError | None:
    offsets = [TopicPartition(topic, partition, offset) for partition, offset in next_offsets.items()]
    return commit_and_wait(consumer, offsets) if offsets else None


def _commit_error(topic: str, error: KafkaError) -> KafkaUnavailableError:
    return KafkaUnavailableError(
        f"The offsets of {topic} could not be committed: {describe(error)}. What was read is kept and nothing is lost; "
        "check the brokers, and that nothing else runs with this --group."
    )


def _fell_silent(topic: str, unfinished: Iterable[int], idle_s: float) -> str:
    return (
        f"{topic} gave nothing for {idle_s:g} s before the end of partition {', '.join(map(str, sorted(unfinished)))}. "
        "Check the brokers and run it again; a transaction that some producer left open also holds readers back until "
        "it times out."
    )


def _unreadable(topic: str, error: KafkaError) -> str:
    return (
        f"{topic} cannot be read: {describe(error)}. Check the brokers and that this user may read the topic; "
        "create the topics with `moderate topics create`."
    )
