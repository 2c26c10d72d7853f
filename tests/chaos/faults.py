"""Faults that can be planted in a member, to show that the harness finds them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consumer.batch import Lease, Outgoing
from consumer.kafka.assignment import Assignment, PartitionKey
from consumer.kafka.checkpoint import AtLeastOnceCheckpoint
from consumer.kafka.transactions import CALL_TIMEOUT_S, Transactions

BUSY_BROKER_S = 0.2
"""What publishing takes on a busy cluster: the window in which a fault shows, open most of the time under the flow."""


def plant(name: str) -> None:
    """Plant the fault of that name in this process; none when the name is empty."""
    if name:
        FAULTS[name]()


def _commit_before_ack() -> None:
    """At-least-once: offsets are free to be committed before the results are published."""
    complete = AtLeastOnceCheckpoint.complete

    def hasty(self: AtLeastOnceCheckpoint, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        self._assignment.acknowledge(next_offsets)
        time.sleep(BUSY_BROKER_S)
        complete(self, messages, next_offsets)

    AtLeastOnceCheckpoint.complete = hasty  # type: ignore[method-assign]


def _skip_flush_on_revoke() -> None:
    """At-least-once: the work in flight of a revoked partition is neither waited for nor dropped."""
    complete = AtLeastOnceCheckpoint.complete

    def slow(self: AtLeastOnceCheckpoint, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        time.sleep(BUSY_BROKER_S)
        complete(self, messages, next_offsets)

    def finished_at_once(self: Assignment, partitions: Iterable[PartitionKey], timeout_s: float) -> bool:
        return True

    def end(self: Assignment, partitions: Iterable[PartitionKey]) -> None:
        for key in partitions:
            self._leases.pop(key, None)

    AtLeastOnceCheckpoint.complete = slow  # type: ignore[method-assign]
    Assignment.wait_until_finished = finished_at_once  # type: ignore[method-assign]
    Assignment.end = end  # type: ignore[method-assign]


def _offsets_after_results() -> None:
    """Exactly-once: the offsets get a transaction of their own, behind that of the results."""
    send_offsets = Transactions.send_offsets

    def apart(self: Transactions, next_offsets: Mapping[tuple[str, int], int], group_metadata: Any) -> None:
        self._producer.commit_transaction(CALL_TIMEOUT_S)
        time.sleep(5 * BUSY_BROKER_S)
        self._producer.begin_transaction()
        send_offsets(self, next_offsets, group_metadata)

    Transactions.send_offsets = apart  # type: ignore[method-assign]


FAULTS = {
    "commit-before-ack": _commit_before_ack,
    "skip-flush-on-revoke": _skip_flush_on_revoke,
    "offsets-after-results": _offsets_after_results,
}
