"""Exactly-once: tagged comments, dead letters and offsets become visible together, in one transaction (KIP-447)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError

from consumer.backoff import Backoff
from consumer.batch import Lease, Outgoing, Record
from consumer.kafka.assignment import Assignment
from consumer.kafka.checkpoint import SERVE_EVERY_S, does_not_fit
from consumer.kafka.clients import describe
from consumer.kafka.publisher import PublishError, not_taken
from consumer.kafka.transactions import TransactionAbortedError, Transactions

log = structlog.get_logger()

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
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
        commit_interval_s: float,
        max_records: int,
        give_up_after_s: float,
    ) -> None:
        self._transactions = transactions
        self._assignment = assignment
        self._group_metadata = group_metadata
        self._too_large = too_large
        self._commit_interval_s = commit_interval_s
        self._max_records = max_records
        self._give_up_after_s = give_up_after_s
        self._pending: list[_Pending] = []
        self._pending_records = 0
        self._pending_bytes = 0
        self._committed_at_s = 0.0

    def complete(self, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        """Add a batch to the open transaction; `serve` and `finish` commit it. Raises when the process must end."""
        batch = _Pending(list(messages), dict(next_offsets))
        self._drop_void(batch)
        if batch.next_offsets:
            self._pending.append(batch)
            self._pending_records += len(batch.messages)
            self._pending_bytes += sum(len(message.value or b"") for message in batch.messages)
            self._transactions.send(batch.messages)

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
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, self._give_up_after_s)
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
                self._wait_before_retry(aborted, backoff)
                self._again()

    def _due_in_s(self) -> float:
        if not self._pending:
            return SERVE_EVERY_S
        full = self._pending_records >= self._max_records or self._pending_bytes >= MAX_PENDING_BYTES
        if full or self._transactions.failed or self._assignment.awaited:
            return 0.0
        return min(SERVE_EVERY_S, self._committed_at_s + self._commit_interval_s - time.monotonic())

    def _try_commit(self, metadata: Any) -> None:
        self._transactions.flush()
        if failed := self._transactions.failed:
            suspects = [f.outgoing for f in failed if f.error.code() == KafkaError.MSG_SIZE_TOO_LARGE]
            if not suspects:
                raise TransactionAbortedError(failed[0].error, not_taken(failed[0]))
            self._transactions.abort()
            self._replace(suspects)
            self._send_all()
            return
        offsets = {(lease.topic, lease.partition): n for p in self._pending for lease, n in p.next_offsets.items()}
        self._transactions.commit(offsets, metadata)
        for pending in self._pending:
            self._assignment.finished(pending.next_offsets)
        self._pending.clear()
        self._pending_records = self._pending_bytes = 0
        self._committed_at_s = time.monotonic()

    def _replace(self, suspects: list[Outgoing]) -> None:
        """Put dead letters in the place of results that are too large for their topic.

        The broker refuses whole protocol batches, so each is tried alone, in a transaction that is aborted.
        """
        for outgoing in suspects:
            self._transactions.send([outgoing])
            self._transactions.flush()
            refused = any(f.error.code() == KafkaError.MSG_SIZE_TOO_LARGE for f in self._transactions.failed)
            self._transactions.abort()
            if refused and outgoing.is_dead_letter:
                raise PublishError(does_not_fit(outgoing))
            if refused:
                letter = self._too_large(outgoing.record)
                for pending in self._pending:
                    pending.messages = [letter if message is outgoing else message for message in pending.messages]

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
            self._transactions.send(pending.messages)

    def _wait_before_retry(self, aborted: TransactionAbortedError, backoff: Backoff) -> None:
        delay_s = None if aborted.error.code() in PERMANENT else backoff.delay_s()
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
