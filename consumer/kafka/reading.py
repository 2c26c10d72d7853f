"""Reads one topic from given offsets to its present end, or for ever, and commits behind the reader's work."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.kafka.clients import KafkaUnavailableError, describe, make_consumer, reader_config
from consumer.kafka.topics import REACH_TIMEOUT_S
from consumer.settings import Settings

log = structlog.get_logger()

BATCH_RECORDS = 1_000
POLL_S = 0.5
LOOK_FOR_PARTITIONS_EVERY_S = 60.0
COMMIT_PATIENCE_S = 120.0

_PASSING = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}
_ELECTING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
"""A topic that was created a moment ago, or a broker that just went, has no leader yet that could be asked."""


class RawRecord(NamedTuple):
    """A record as it lies in the topic; `value` is None for a tombstone."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


class OffsetRange(NamedTuple):
    """The oldest offset that a partition still has, and the one its next record will get."""

    low: int
    high: int


def make_reader(settings: Settings, group_id: str) -> Consumer:
    """A consumer for `batches`. It is assigned its partitions instead of joining the group, which only keeps the
    offsets: a member that was killed would keep its successor waiting for the whole session timeout.
    """
    return make_consumer(reader_config(settings, group_id, "earliest") | {"enable.partition.eof": True})


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
) -> Iterator[list[RawRecord]]:
    """Read every partition from its start up to its end (the offset behind its last record), or for ever without ends.

    Yields what has come, or nothing after half a second without news; asking for the next batch says that the last
    one is safe, and commits it. Ends early when `stopping()`. Partitions that a topic gets while it is read for
    ever are read from their beginning.

    Raises `KafkaUnavailableError` when the topic cannot be read, when nothing came for `idle_s` before the ends, or
    when offsets cannot be committed.
    """
    consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
    unfinished = set(ends or ())
    known = set(starts)
    uncommitted: dict[int, int] = {}
    last_news = last_look = last_commit = time.monotonic()
    while not stopping() and (unfinished or ends is None):
        messages = _take(consumer)
        now = time.monotonic()
        records, at_end = _sorted_out(messages, topic)
        if records or at_end:
            last_news = now
        elif ends is not None and now - last_news > idle_s:
            raise KafkaUnavailableError(
                f"{topic} gave nothing for {idle_s:g} s before the end of partition "
                f"{', '.join(map(str, sorted(unfinished)))}. What was read is kept; check the brokers and run it again."
            )
        unfinished -= at_end
        unfinished -= {r.partition for r in records if ends and r.offset + 1 >= ends.get(r.partition, 0)}
        yield records
        uncommitted.update({record.partition: record.offset + 1 for record in records})
        if error := _commit(consumer, topic, uncommitted):
            log.debug("commit_retried", error=describe(error))
            if now - last_commit > COMMIT_PATIENCE_S:
                raise _commit_error(topic, error)
        else:
            uncommitted.clear()
            last_commit = now
        if ends is None and now - last_look > LOOK_FOR_PARTITIONS_EVERY_S:
            last_look = now
            known |= _assign_new(consumer, topic, known)
    deadline = time.monotonic() + REACH_TIMEOUT_S
    while error := _commit(consumer, topic, uncommitted):
        if time.monotonic() > deadline:
            raise _commit_error(topic, error)
        time.sleep(POLL_S)


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


def _take(consumer: Consumer) -> list[Message]:
    """What has come already, else the first to come within `POLL_S`: only `poll` does not wait for more."""
    first = consumer.poll(POLL_S)
    return [] if first is None else [first, *consumer.consume(BATCH_RECORDS - 1, timeout=0)]


def _sorted_out(messages: list[Message], topic: str) -> tuple[list[RawRecord], set[int]]:
    """The records, and the partitions that were read to their end; errors that pass by themselves are left out."""
    records: list[RawRecord] = []
    at_end: set[int] = set()
    for message in messages:
        partition = message.partition() or 0
        error = message.error()
        if error is None:
            value = message.value()
            raw = value.encode() if isinstance(value, str) else value
            records.append(RawRecord(topic, partition, message.offset() or 0, raw))
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end.add(partition)
        elif error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise KafkaUnavailableError(_unreadable(topic, error))
    return records, at_end


def _commit(consumer: Consumer, topic: str, next_offsets: Mapping[int, int]) -> KafkaError | None:
    offsets = [TopicPartition(topic, partition, offset) for partition, offset in next_offsets.items()]
    if not offsets:
        return None
    try:
        committed = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        return error
    return next((partition.error for partition in committed or [] if partition.error is not None), None)


def _commit_error(topic: str, error: KafkaError) -> KafkaUnavailableError:
    return KafkaUnavailableError(
        f"The offsets of {topic} could not be committed: {describe(error)}. What was read is kept and nothing is lost; "
        "check the brokers, and that nothing else runs with this --group."
    )


def _unreadable(topic: str, error: KafkaError) -> str:
    return (
        f"{topic} cannot be read: {describe(error)}. Check the brokers and that this user may read the topic; "
        "create the topics with `moderate topics create`."
    )
