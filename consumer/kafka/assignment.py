"""Which partitions this member holds, what is in flight for each, and up to where each may be committed."""

import threading
import time
from collections.abc import Iterable, Mapping

from consumer.batch import Lease

PartitionKey = tuple[str, int]


class Assignment:
    """The leases of this member. The source's thread grants, commits and ends them; the pipeline says what it did."""

    def __init__(self) -> None:
        self._leases: dict[PartitionKey, Lease] = {}
        self._changed = threading.Condition()
        self._waiting = False
        self._abandoned = False
        self._joined = False

    @property
    def joined(self) -> bool:
        """Whether this member has been given its share of the partitions, which may be none."""
        return self._joined

    @property
    def awaited(self) -> bool:
        """Whether a revoke waits for work in flight: time to finish it without delay."""
        return self._waiting

    @property
    def abandoned(self) -> bool:
        """Whether nothing in flight will be finished any more."""
        return self._abandoned

    def lease(self, topic: str, partition: int) -> Lease | None:
        """The lease of a partition, or None when this member does not hold it."""
        return self._leases.get((topic, partition))

    def partitions(self) -> list[PartitionKey]:
        """The partitions held, as (topic, partition)."""
        return sorted(self._leases)

    def grant(self, partitions: Iterable[PartitionKey]) -> None:
        """Begin a lease for each partition."""
        with self._changed:
            self._joined = True
            for topic, partition in partitions:
                self._leases[topic, partition] = Lease(topic, partition)

    def wait_until_finished(self, partitions: Iterable[PartitionKey], timeout_s: float) -> bool:
        """Wait until nothing of these partitions is in flight; False after `timeout_s` or when work was abandoned."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            leases = self._held(partitions)
            self._waiting = True
            while any(lease.in_flight for lease in leases) and not self._abandoned:
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    break
                self._changed.wait(remaining_s)
            self._waiting = False
            return not any(lease.in_flight for lease in leases)

    def end(self, partitions: Iterable[PartitionKey]) -> None:
        """End these leases: what is still in flight for them is void."""
        with self._changed:
            for lease in self._held(partitions):
                lease.valid = False
                del self._leases[lease.topic, lease.partition]

    def lost(self, partitions: Iterable[PartitionKey]) -> None:
        """The group has given this member up: `end`, and it must join again."""
        self._joined = False
        self.end(partitions)

    def took(self, leases: Iterable[Lease]) -> None:
        """Count a batch as in flight for each of its leases."""
        with self._changed:
            for lease in leases:
                lease.in_flight += 1

    def finished(self, leases: Iterable[Lease]) -> None:
        """Count a batch as done, acknowledged or dropped."""
        with self._changed:
            for lease in leases:
                lease.in_flight -= 1
            self._changed.notify_all()

    def acknowledge(self, next_offsets: Mapping[Lease, int]) -> None:
        """Every output before these offsets is acknowledged: they may be committed."""
        with self._changed:
            for lease, offset in next_offsets.items():
                lease.acknowledged = offset

    def acknowledged(self) -> dict[Lease, int]:
        """The offsets of held partitions that may be committed and are not yet."""
        with self._changed:
            return {lease: lease.acknowledged for lease in self._leases.values() if lease.acknowledged is not None}

    def committed(self, next_offsets: Mapping[Lease, int]) -> None:
        """These offsets are committed; later acknowledgements stay."""
        with self._changed:
            for lease, offset in next_offsets.items():
                if lease.acknowledged == offset:
                    lease.acknowledged = None

    def abandon(self) -> None:
        """Nothing in flight will be finished any more: no revoke waits from now on."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def _held(self, partitions: Iterable[PartitionKey]) -> list[Lease]:
        return [lease for key in partitions if (lease := self._leases.get(key))]
