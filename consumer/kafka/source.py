"""Reads the input topic in batches that form by themselves, and keeps this member in its group."""

import time
from collections.abc import Iterable
from typing import Protocol

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from consumer.batch import Batch, Item, Lease
from consumer.kafka.assignment import Assignment
from consumer.kafka.records import arrived, raise_unless_passing, record_of
from consumer.telemetry.logs import bind_process

log = structlog.get_logger()

SERVE_EVERY_S = 0.1


class Offsets(Protocol):
    """What becomes of the offsets, as far as it needs the thread that owns the consumer."""

    def serve(self, *, wait: bool = False) -> bool:
        """Do what there is to do; True when nothing is left. With `wait` it may block, as a revoke needs it; without it
        must not. Raises when the process must end.
        """
        ...


class Source:
    """One member of the consumer group. All methods belong to one thread, which also runs the rebalance callbacks.

    On revoke the work in flight is finished inside `revoke_timeout_s` (and committed by the checkpoint), on lost it is
    dropped; partitions that stay keep flowing, because assignment is cooperative.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        assignment: Assignment,
        offsets: Offsets,
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
        self._offsets.serve()
        return self._batch(arrived(self._consumer, self._max_records, timeout_s))

    def serve_offsets(self) -> bool:
        """Do what offsets need of this thread, while it waits elsewhere than in `take`; True when nothing is left."""
        return self._offsets.serve()

    def put_back_pressure(self) -> None:
        """Keep the membership alive while the pipeline is full: pause the partitions (once) and poll."""
        self._offsets.serve()
        if not self._paused:
            self._paused = True
            self._consumer.pause(_topic_partitions(self._assignment.partitions()))
            log.debug("source_paused")
        message = self._consumer.poll(0.05)
        if message is not None and (error := message.error()) is not None:
            raise_unless_passing(error, message)
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
                raise_unless_passing(error, message)
                continue
            record, refusal = record_of(message)
            lease = self._assignment.lease(record.topic, record.partition)
            if lease is None:
                continue  # revoked between fetch and here: its next owner reads it
            items.append(Item(record, lease, refusal=refusal))
            next_offsets[lease] = record.offset + 1
        return Batch(items, next_offsets) if items else None

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._assignment.grant(_keys(partitions))
        self._offsets.serve()  # before anything of them can be committed, the generation they belong to is known
        # librdkafka keeps a pause over revocation: one taken away while paused and given back would stay silent.
        if partitions:
            (consumer.pause if self._paused else consumer.resume)(partitions)
        self._bind_partitions()
        log.info("partitions_assigned", added=_names(partitions))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        began = time.monotonic()
        drained, committed = self._finish(_keys(partitions), began + self._revoke_timeout_s)
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

    def _finish(self, partitions: list[tuple[str, int]], deadline: float) -> tuple[bool, bool]:
        """Wait until the work in flight of these partitions is done, and its offsets are committed.

        Offsets are served all the while: a transaction cannot be committed without the generation of this very
        rebalance.
        """
        while True:
            if self._assignment.abandoned:
                return False, False
            self._offsets.serve()
            slice_s = max(0.0, min(SERVE_EVERY_S, deadline - time.monotonic()))
            drained = self._assignment.wait_until_finished(partitions, slice_s)
            committed = drained and self._offsets.serve(wait=True)
            if committed or time.monotonic() >= deadline:
                return drained, committed
            if drained:
                time.sleep(slice_s)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignment.lost(_keys(partitions))
        self._bind_partitions()
        log.warning(
            "partitions_lost",
            removed=_names(partitions),
            meaning="the group gave this member up; work in flight is dropped uncommitted",
        )

    def _bind_partitions(self) -> None:
        bind_process(partitions=" ".join(str(partition) for _, partition in self._assignment.partitions()))


def _keys(partitions: Iterable[TopicPartition]) -> list[tuple[str, int]]:
    return [(p.topic, p.partition) for p in partitions]


def _topic_partitions(keys: Iterable[tuple[str, int]]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic, partition in keys]


def _names(partitions: Iterable[TopicPartition]) -> str:
    return " ".join(sorted(f"{p.topic}-{p.partition}" for p in partitions))
