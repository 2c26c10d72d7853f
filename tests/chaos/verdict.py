"""What is wrong with what came out of a flow of comments, and the figures of it."""

from collections import defaultdict

from tests.chaos.flow import Flow, Outcome, Seen
from tests.chaos.report import some


def problems(flow: Flow, seen: Seen, *, doubles_allowed: bool) -> list[str]:
    """What is wrong with what came out, one sentence each; empty when every promise was kept.

    Doubles are wrong in exactly-once; where they are allowed, they must share their event id.
    """
    found = []
    if unacknowledged := flow.sent - len(flow.acknowledged):
        found.append(f"the flow itself is broken: Kafka did not acknowledge {unacknowledged} of its comments")
    if missing := sorted(flow.acknowledged - seen.numbers):
        found.append(f"{len(missing)} comments never came out: numbers {some(missing)}")
    if unknown := sorted(number for number in seen.numbers if not 0 <= number < flow.sent):
        found.append(f"{len(unknown)} results that nobody sent: numbers {some(unknown)}")
    for number, outcomes in doubles(seen).items():
        places = some(
            f"{'dead letter' if o.reason else 'result'} {o.partition}@{o.offset} {o.event_id}" for o in outcomes
        )
        if not doubles_allowed:
            found.append(f"number {number} came out {len(outcomes)} times: {places}")
        elif len({outcome.event_id for outcome in outcomes}) > 1:
            found.append(f"number {number} came out again with another event id: {places}")
    return found + out_of_order(seen)


def doubles(seen: Seen) -> dict[int, list[Outcome]]:
    """The numbers that came out more than once, with all their outcomes."""
    by_number: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in seen.outcomes:
        by_number[outcome.number].append(outcome)
    return {number: outcomes for number, outcomes in by_number.items() if len(outcomes) > 1}


def out_of_order(seen: Seen) -> list[str]:
    """Where a key's tagged comments, at their first coming out, are not in the order in which they were sent."""
    last: dict[bytes | None, Outcome] = {}
    known: set[int] = set()
    found = []
    for outcome in sorted((o for o in seen.outcomes if not o.reason), key=lambda o: (o.partition, o.offset)):
        if outcome.number in known:
            continue
        known.add(outcome.number)
        before = last.get(outcome.key)
        if before and before.number > outcome.number:
            found.append(
                f"key {outcome.key!r}: number {outcome.number} (result {outcome.partition}@{outcome.offset}) came out "
                f"behind {before.number} ({before.partition}@{before.offset})"
            )
        last[outcome.key] = outcome
    return found


def longest_gaps_s(seen: Seen) -> dict[int, float]:
    """For each source partition the longest time between two arrivals, in seconds."""
    last: dict[int, float] = {}
    gaps: dict[int, float] = defaultdict(float)
    for outcome in seen.outcomes:
        partition = outcome.source_partition
        gaps[partition] = max(gaps[partition], outcome.arrival_s - last.get(partition, outcome.arrival_s))
        last[partition] = outcome.arrival_s
    return dict(gaps)


def figures(flow: Flow, seen: Seen) -> dict[str, int | float]:
    """What went in and what came out, for a report."""
    dead_letters = sum(1 for outcome in seen.outcomes if outcome.reason)
    return {
        "sent": flow.sent,
        "tagged": len(seen.outcomes) - dead_letters,
        "dead_letters": dead_letters,
        "doubles": sum(len(outcomes) - 1 for outcomes in doubles(seen).values()),
        "longest_gap_s": max(longest_gaps_s(seen).values(), default=0.0),
    }
