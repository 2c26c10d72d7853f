"""Reads the input topic in batches that form by themselves, and keeps this member in its group."""

import time
from collections.abc import Iterable
from operator import methodcaller

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumer.batch import Batch, Item, Lease, Record, Refusal
from consumer.errors import ReaderError
from consumer.kafka.assignment import Assignment
from consumer.kafka.clients import describe
from consumer.kafka.offsets import OffsetCommitter
from consumer.telemetry.logs import bind_process
from schemas import DeadLetterReason

log = structlog.get_logger()

TIMESTAMP_NOT_AVAILABLE = 0
COMMIT_RETRY_S = 0.1

_headers_of = methodcaller("headers")
"""For a header whose name is not UTF-8, confluent-kafka 2.16 returns a result and sets an error too. CPython's
optimised
method call does not look for that, and the error comes out at some later line; a call through C code always looks.
"""


class SourceError(ReaderError):
    """The input topic cannot be read any more; the message says why."""


class Source:
    """One member of the consumer group. All methods belong to one thread, which also runs the rebalance callbacks.

    On revoke the work in flight is finished inside `revoke_timeout_s` (and committed by the checkpoint), on lost it is
    dropped;
    partitions that stay keep flowing, because assignment is cooperative.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        assignment: Assignment,
        offsets: OffsetCommitter,
        *,
        max_records: int,
        revoke_timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._offsets = offsets
        self._max_records = max_records
        self._revoke_timeout_s = revoke_timeout_s
        self._paused = False
        consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def take(self, timeout_s: float) -> Batch | None:
        """Wait up to `timeout_s` for a first record, then take with it what else has arrived, up to `max_records`.

        Returns None when nothing came. Raises `SourceError` when the topic cannot be read.
        """
        self._offsets.commit()
        first = self._consumer.poll(timeout_s)
        if first is None:
            return None
        return self._batch(
            [first, *self._consumer.consume(self._max_records - 1, timeout=0)] if self._max_records > 1 else [first]
        )

    def put_back_pressure(self) -> None:
        """Keep the membership alive while the pipeline is full: pause the partitions (once) and poll."""
        self._offsets.commit()
        if not self._paused:
            self._paused = True
            self._consumer.pause(_topic_partitions(self._assignment.partitions()))
            log.debug("source_paused")
        message = self._consumer.poll(0.05)
        if message is not None and (error := message.error()) is not None:
            _raise_unless_passing(error)
        elif message is not None:
            # Paused partitions deliver nothing; should one slip through, read it again after resuming.
            self._consumer.seek(TopicPartition(message.topic() or "", message.partition() or 0, message.offset() or 0))

    def release(self) -> None:
        """Resume reading after `put_back_pressure`."""
        if self._paused:
            self._paused = False
            self._consumer.resume(_topic_partitions(self._assignment.partitions()))

    def close(self) -> None:
        """Leave the group at once, so that others take over the partitions."""
        self._consumer.close()

    def _batch(self, messages: list[Message]) -> Batch | None:
        items: list[Item] = []
        next_offsets: dict[Lease, int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                _raise_unless_passing(error)
                continue
            record, refusal = _record(message)
            lease = self._assignment.lease(record.topic, record.partition)
            if lease is None:
                continue  # revoked between fetch and here: its next owner reads it
            items.append(Item(record, lease, refusal=refusal))
            next_offsets[lease] = record.offset + 1
        return Batch(items, next_offsets) if items else None

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._assignment.grant(_keys(partitions))
        if self._paused and partitions:
            consumer.pause(partitions)
        self._bind_partitions()
        log.info("partitions_assigned", added=_names(partitions))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        began = time.monotonic()
        drained = self._assignment.wait_until_finished(_keys(partitions), self._revoke_timeout_s)
        committed = self._offsets.commit()
        while not committed and time.monotonic() - began < self._revoke_timeout_s:
            time.sleep(COMMIT_RETRY_S)
            committed = self._offsets.commit()
        self._assignment.end(_keys(partitions))
        self._bind_partitions()
        fields = {"removed": _names(partitions), "waited_s": round(time.monotonic() - began, 3)}
        if drained and committed:
            log.info("partitions_revoked", **fields)
        elif drained:
            log.warning("partitions_revoked_uncommitted", **fields, meaning="comes out again with the same event ids")
        else:
            log.warning(
                "partitions_revoked_with_work_dropped", **fields, meaning="uncommitted; the next owner reads it again"
            )

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignment.end(_keys(partitions))
        self._bind_partitions()
        log.warning(
            "partitions_lost",
            removed=_names(partitions),
            meaning="the group gave this member up; work in flight is dropped uncommitted",
        )

    def _bind_partitions(self) -> None:
        bind_process(partitions=" ".join(str(partition) for _, partition in self._assignment.partitions()))


def _record(message: Message) -> tuple[Record, Refusal | None]:
    """The record, and why it is refused already: the client cannot give headers when one's name is not UTF-8."""
    refusal = None
    try:
        headers = _headers_of(message) or ()
    except (SystemError, UnicodeDecodeError):
        headers = ()
        refusal = Refusal(
            DeadLetterReason.NOT_UTF_8, "the name of a header is not UTF-8; its headers could not be kept"
        )
    kind, timestamp_ms = message.timestamp()
    record = Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=headers,
    )
    return record, refusal


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _raise_unless_passing(error: KafkaError) -> None:
    """Let what librdkafka recovers from by itself pass; raise `SourceError` for the rest."""
    passing = {
        KafkaError._PARTITION_EOF,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._TIMED_OUT,
    }
    if error.fatal() or not (error.retriable() or error.code() in passing):
        raise SourceError(
            f"Kafka does not let this member read on: {describe(error)}. Check that the topic exists, that this user "
            "may read it, and that no other process has the same KAFKA_GROUP_INSTANCE_ID; then start again."
        )
    log.warning("source_error", error=describe(error))


def _keys(partitions: Iterable[TopicPartition]) -> list[tuple[str, int]]:
    return [(p.topic, p.partition) for p in partitions]


def _topic_partitions(keys: Iterable[tuple[str, int]]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic, partition in keys]


def _names(partitions: Iterable[TopicPartition]) -> str:
    return " ".join(sorted(f"{p.topic}-{p.partition}" for p in partitions))
