"""Which partitions this member holds, and what is in flight for each."""

import threading
import time
from collections.abc import Iterable

from consumer.batch import Lease


class Assignment:
    """The leases of this member. Granted and ended by the source's thread; counted down by the thread that
    checkpoints."""

    def __init__(self) -> None:
        self._leases: dict[tuple[str, int], Lease] = {}
        self._changed = threading.Condition()
        self._abandoned = False

    def lease(self, topic: str, partition: int) -> Lease | None:
        """The lease of a partition, or None when this member does not hold it."""
        return self._leases.get((topic, partition))

    def partitions(self) -> list[tuple[str, int]]:
        """The partitions held, as (topic, partition)."""
        return sorted(self._leases)

    def grant(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Begin a lease for each partition."""
        with self._changed:
            for topic, partition in partitions:
                self._leases[topic, partition] = Lease(topic, partition)

    def revoke(self, partitions: Iterable[tuple[str, int]], timeout_s: float) -> bool:
        """Wait until nothing of these partitions is in flight, at most `timeout_s`, then end their leases.

        Returns False when the deadline passed first: what is still in flight is dropped uncommitted, and read again by
        the next owner.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            leases = [lease for key in partitions if (lease := self._leases.get(key))]
            while any(lease.in_flight for lease in leases) and not self._abandoned:
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    break
                self._changed.wait(remaining_s)
            drained = not any(lease.in_flight for lease in leases)
            self._end(leases)
        return drained

    def lose(self, partitions: Iterable[tuple[str, int]]) -> None:
        """End these leases at once: another member may hold the partitions already."""
        with self._changed:
            self._end([lease for key in partitions if (lease := self._leases.get(key))])

    def took(self, leases: Iterable[Lease]) -> None:
        """Count a batch as in flight for each of its leases."""
        with self._changed:
            for lease in leases:
                lease.in_flight += 1

    def finished(self, leases: Iterable[Lease]) -> None:
        """Count a batch as done, checkpointed or dropped."""
        with self._changed:
            for lease in leases:
                lease.in_flight -= 1
            self._changed.notify_all()

    def abandon(self) -> None:
        """Nothing in flight will be finished any more: no revoke waits from now on."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def _end(self, leases: list[Lease]) -> None:
        for lease in leases:
            lease.valid = False
            del self._leases[lease.topic, lease.partition]
