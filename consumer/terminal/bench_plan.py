"""From what one member can do to how many members and partitions a rate of comments needs: arithmetic, nothing else."""

from math import ceil
from typing import NamedTuple

HEADROOM = 0.7
"""Plan to use this share of what was measured: above it comments wait, and nothing is left for catching up."""
DEFAULT_PEAK_FACTOR = 2.0
"""The busiest hour of a site against its mean over a day; a news site at breaking news has far more."""
LEAST_PARTITIONS = 6
"""TOPIC_PARTITIONS as it comes. Divides evenly by 1, 2 and 3 members."""
PARTITIONS_PER_MEMBER = 2
OUTAGE_S = 3_600.0


class Plan(NamedTuple):
    """What `rate_per_s` needs, mean over a day.

    `used_share` is how much of their capacity the members use at the peak; `catch_up_s` how long they need, at the
    peak, for what an outage of `OUTAGE_S` left behind. `input_bytes_per_s` and `result_bytes_per_s` are what the
    brokers take at the peak, before compression and replication.
    """

    rate_per_s: float
    peak_per_s: float
    capacity_per_s: float
    members: int
    partitions: int
    used_share: float
    catch_up_s: float
    input_bytes_per_s: float
    result_bytes_per_s: float


def plan(
    rate_per_s: float,
    capacity_per_s: float,
    *,
    peak_factor: float = DEFAULT_PEAK_FACTOR,
    comment_bytes: float = 0.0,
    result_bytes: float = 0.0,
) -> Plan:
    """How many members of `capacity_per_s` hold `rate_per_s` times `peak_factor` within `HEADROOM`.

    Every member has equally many partitions: where one has two and another one, the first has twice the work. Two each
    leave room to double the members; more partitions later would break the order of keys.
    """
    peak_per_s = rate_per_s * peak_factor
    members = max(1, ceil(peak_per_s / (HEADROOM * capacity_per_s)))
    partitions = max(LEAST_PARTITIONS, PARTITIONS_PER_MEMBER * members)
    together_per_s = members * capacity_per_s
    return Plan(
        rate_per_s,
        peak_per_s,
        capacity_per_s,
        members,
        partitions,
        used_share=peak_per_s / together_per_s,
        catch_up_s=catch_up_s(OUTAGE_S, peak_per_s, together_per_s),
        input_bytes_per_s=peak_per_s * comment_bytes,
        result_bytes_per_s=peak_per_s * result_bytes,
    )


def catch_up_s(outage_s: float, rate_per_s: float, together_per_s: float) -> float:
    """Seconds until members of `together_per_s` in all have worked off what `outage_s` left, while `rate_per_s` more
    come."""
    return outage_s * rate_per_s / (together_per_s - rate_per_s)


def spelled_out(plan: Plan, peak_factor: float) -> str:
    """The arithmetic of a plan, to be checked by hand."""
    return (
        f"{plan.rate_per_s:,.0f}/s × {peak_factor:g} at the peak = {plan.peak_per_s:,.0f}/s; one member may be used to "
        f"{HEADROOM:.0%} of {plan.capacity_per_s:,.0f}/s = {HEADROOM * plan.capacity_per_s:,.0f}/s; "
        f"{plan.peak_per_s:,.0f} / {HEADROOM * plan.capacity_per_s:,.0f} → {_counted(plan.members, 'member')}, "
        f"{_counted(plan.partitions, 'partition')}. At the peak they are used to {plan.used_share:.0%}, and what an "
        f"hour's outage left behind takes {duration(plan.catch_up_s)}."
    )


def duration(seconds: float) -> str:
    """Such as `2 h 20 min`, `12 min` or `40 s`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
