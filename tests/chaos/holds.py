"""Who held which partition when, from the members' logs, and how long a partition that stayed gave nothing."""

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from tests.chaos.flow import Seen
from tests.chaos.processes import MemberProcess

ENDS = {
    "partitions_revoked",
    "partitions_revoked_uncommitted",
    "partitions_revoked_with_work_dropped",
    "partitions_lost",
}


class Hold(NamedTuple):
    """One member's hold on one partition; times are on the monotonic clock."""

    member: str
    partition: int
    from_s: float
    to_s: float


def holds_of(member: MemberProcess) -> list[Hold]:
    """Its holds in its only life; one that its log does not end was ended by the end of the process."""
    began: dict[int, float] = {}
    holds = []
    for event in member.events():
        if event["event"] == "partitions_assigned":
            began |= dict.fromkeys(_partitions(event["added"]), event["at_s"])
        elif event["event"] in ENDS:
            # A partition is touched from the moment the revoke begins, which is before its log line.
            to_s = event["at_s"] - event.get("waited_s", 0.0)
            holds += [
                Hold(member.name, partition, began.pop(partition), to_s)
                for partition in _partitions(event["removed"])
                if partition in began
            ]
    return holds + [Hold(member.name, partition, from_s, member.ended_s) for partition, from_s in began.items()]


class Gap(NamedTuple):
    """How long a partition gave nothing, and when: in seconds after its member got it."""

    gap_s: float
    member: str
    partition: int
    after_s: float

    def __str__(self) -> str:
        return (
            f"{self.gap_s:.1f} s in partition {self.partition} of {self.member}, {self.after_s:.1f} s after it got it"
        )


def gaps_while_held(holds: list[Hold], seen: Seen) -> list[Gap]:
    """The times between two results of a partition that one member held all the time, longest first."""
    arrivals: dict[int, list[float]] = defaultdict(list)
    for outcome in seen.outcomes:
        arrivals[outcome.source_partition].append(outcome.arrival_s)
    gaps = []
    for hold in holds:
        within = [arrival_s for arrival_s in arrivals[hold.partition] if hold.from_s <= arrival_s <= hold.to_s]
        gaps += [
            Gap(after_s - before_s, hold.member, hold.partition, before_s - hold.from_s)
            for before_s, after_s in pairwise(within)
        ]
    return sorted(gaps, reverse=True)


def _partitions(names: str) -> list[int]:
    """`comments-0 comments-3` → 0 and 3."""
    return [int(name.rsplit("-", 1)[1]) for name in names.split()]
