"""Exactly-once: tagged comments, dead letters and offsets become visible together, in one transaction (KIP-447)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError

from consumer.batch import Lease, Outgoing, Record
from consumer.kafka.assignment import Assignment
from consumer.kafka.checkpoint import SERVE_EVERY_S, does_not_fit
from consumer.kafka.publisher import PublishError, not_taken
from consumer.kafka.refusals import describe
from consumer.kafka.transactions import FencedError, TransactionAbortedError, Transactions

log = structlog.get_logger()

MAX_PENDING_BYTES = 16_777_216
"""What one transaction may hold: it is kept in memory until it is committed, to be sent again should it abort."""

PERMANENT = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
"""Trying again does not help against these."""


@dataclass(slots=True, eq=False)
class _Pending:
    """A batch that is sent and not committed."""

    messages: list[Outgoing]
    next_offsets: dict[Lease, int]
    size_bytes: int


class ExactlyOnceCheckpoint:
    """Collects batches in a transaction and commits it when `commit_interval_s` has passed since the last commit, or
    when it is full, or when a revoke waits for it; after a pause, that is at once.

    A transaction that aborts is sent again from memory, without what this member no longer holds: nothing of an aborted
    one is ever visible to `read_committed`. Used by one thread; `group_metadata` may be called from it at any time.
    """

    def __init__(
        self,
        transactions: Transactions,
        assignment: Assignment,
        group_metadata: Callable[[], Any],
        *,
        too_large: Callable[[Record], Outgoing],
        on_checkpoint: Callable[[float], None],
        commit_interval_s: float,
        max_records: int,
    ) -> None:
        """`on_checkpoint` is told how long each commit took, in seconds."""
        self._on_checkpoint = on_checkpoint
        self._transactions = transactions
        self._assignment = assignment
        self._group_metadata = group_metadata
        self._too_large = too_large
        self._commit_interval_s = commit_interval_s
        self._max_records = max_records
        self._one_by_one = False
        self._pending: list[_Pending] = []
        self._committed_at_s = 0.0

    def complete(self, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        """Add a batch to the open transaction; `serve` and `finish` commit it. Raises when the process must end."""
        # What is kept in memory: what goes out, and what came in.
        size_bytes = sum(len(m.value or b"") + len(m.record.value or b"") for m in messages)
        batch = _Pending(list(messages), dict(next_offsets), size_bytes)
        self._drop_void(batch)
        if batch.next_offsets:
            self._pending.append(batch)
            self._transactions.send(batch.messages, one_by_one=self._one_by_one)

    def serve(self) -> float:
        """Commit when it is time; returns after how many seconds at most it wants to be called again.

        Raises `PublishError` or `FencedError` when the process must end.
        """
        self._transactions.poll()
        due_in_s = self._due_in_s()
        if due_in_s > 0:
            return due_in_s
        self.finish()
        return SERVE_EVERY_S

    def finish(self) -> None:
        """Commit all that is pending. Raises `PublishError` or `FencedError` when the process must end."""
        while self._pending:
            # Asked before the leases are looked at: a lease that is held now was held in this generation, and when it
            # ends afterwards, the brokers refuse the generation.
            metadata = self._group_metadata()
            if self._drop_all_void():
                self._again()
                continue
            try:
                self._try_commit(metadata)
            except TransactionAbortedError as aborted:
                self._wait_before_retry(aborted)
                self._again_or_say_why(aborted)

    def _due_in_s(self) -> float:
        if not self._pending:
            return SERVE_EVERY_S
        if self._is_full() or self._transactions.failed or self._assignment.awaited:
            return 0.0
        return min(SERVE_EVERY_S, self._committed_at_s + self._commit_interval_s - time.monotonic())

    def _is_full(self) -> bool:
        records = sum(len(batch.messages) for batch in self._pending)
        return records >= self._max_records or sum(batch.size_bytes for batch in self._pending) >= MAX_PENDING_BYTES

    def _try_commit(self, metadata: Any) -> None:
        began_s = time.monotonic()
        self._transactions.flush()
        failed = self._transactions.failed
        if suspects := [f.outgoing for f in failed if f.error.code() == KafkaError.MSG_SIZE_TOO_LARGE]:
            self._transactions.abort()
            self._replace(suspects)
            self._send_all()
            return
        offsets = {(lease.topic, lease.partition): n for p in self._pending for lease, n in p.next_offsets.items()}
        try:
            self._transactions.send_offsets(offsets, metadata)
        except TransactionAbortedError as aborted:
            if failed:  # it knows the cause, and the message knows for which record and topic
                cause = aborted.error
                raise TransactionAbortedError(cause, not_taken(failed[0]._replace(error=cause))) from None
            raise
        if failed:  # librdkafka lets no such transaction go on; nothing may be committed in any case
            raise TransactionAbortedError(failed[0].error, not_taken(failed[0]))
        self._transactions.commit()
        for pending in self._pending:
            self._assignment.finished(pending.next_offsets)
        self._pending.clear()
        self._committed_at_s = time.monotonic()
        self._on_checkpoint(self._committed_at_s - began_s)

    def _replace(self, suspects: list[Outgoing]) -> None:
        """Put dead letters in the place of results that are too large for their topic.

        The broker refuses whole protocol batches, so each is tried alone, in a transaction that is aborted. Where each
        alone is taken, all are sent alone from now on.
        """
        replaced = 0
        for outgoing in suspects:
            self._transactions.send([outgoing])
            self._transactions.flush()
            refused = any(f.error.code() == KafkaError.MSG_SIZE_TOO_LARGE for f in self._transactions.failed)
            self._transactions.abort()
            if refused and outgoing.is_dead_letter:
                raise PublishError(does_not_fit(outgoing))
            if refused:
                replaced += 1
                letter = self._too_large(outgoing.record)
                for pending in self._pending:
                    pending.messages = [letter if message is outgoing else message for message in pending.messages]
        if not replaced:
            self._send_alone(suspects[0])

    def _send_alone(self, suspect: Outgoing) -> None:
        if self._one_by_one:
            raise PublishError(does_not_fit(suspect))
        self._one_by_one = True
        log.warning(
            "results_sent_one_by_one",
            topic=suspect.topic,
            meaning="the topic takes less than a protocol batch of 200 kB, so each result waits for the one before it",
            remedy="raise the topic's max.message.bytes",
        )

    def _drop_all_void(self) -> bool:
        """Drop what is pending and no longer held; says whether there was any."""
        found = [self._drop_void(batch) for batch in self._pending]
        self._pending = [batch for batch in self._pending if batch.next_offsets]
        return any(found)

    def _drop_void(self, batch: _Pending) -> bool:
        """Drop what this member no longer holds: the next owner of its partition reads it."""
        void = {lease for lease in batch.next_offsets if not lease.valid}
        if void:
            gone = {(lease.topic, lease.partition) for lease in void}
            batch.messages = [m for m in batch.messages if (m.record.topic, m.record.partition) not in gone]
            batch.next_offsets = {lease: n for lease, n in batch.next_offsets.items() if lease not in void}
            self._assignment.finished(void)
        return bool(void)

    def _again(self) -> None:
        """Abort the transaction and send what is pending and held anew."""
        self._transactions.abort()
        self._drop_all_void()
        self._send_all()

    def _send_all(self) -> None:
        for pending in self._pending:
            self._transactions.send(pending.messages, one_by_one=self._one_by_one)

    def _again_or_say_why(self, aborted: TransactionAbortedError) -> None:
        """An abort fails where nothing of the transaction came into Kafka; then its own error is the one to tell."""
        try:
            self._again()
        except FencedError as ended:
            raise FencedError(f"{aborted} {ended}") from None

    def _wait_before_retry(self, aborted: TransactionAbortedError) -> None:
        delay_s = None if aborted.error.code() in PERMANENT else self._transactions.patience.delay_s()
        if delay_s is None:
            raise PublishError(str(aborted))
        log.warning(
            "transaction_aborted",
            error=describe(aborted.error),
            batches=len(self._pending),
            retry_in_s=round(delay_s, 3),
            meaning="nothing of it is visible; it is sent again",
        )
        time.sleep(delay_s)
