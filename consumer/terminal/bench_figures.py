"""Figures measured more than once, and what can be said of a flow from its arrivals."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

SHORTEST_S = 1e-6


class Measured(NamedTuple):
    """The median of some measurements of the same thing, and the least and the most of them."""

    median: float
    least: float
    most: float
    samples: int

    def __str__(self) -> str:
        """Such as `412 (398 to 420)`."""
        return f"{self.median:,.0f} ({self.least:,.0f} to {self.most:,.0f})"


class Latency(NamedTuple):
    """Percentiles in milliseconds, of `samples` comments."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    samples: int


def measured(values: Sequence[float]) -> Measured:
    """Sum up at least one measurement."""
    return Measured(median(values), min(values), max(values), len(values))


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of at least one latency, by nearest rank: every one of them was really seen."""
    ordered = sorted(seconds)

    def percentile_ms(percent: int) -> float:
        return 1_000 * ordered[max(0, -(-percent * len(ordered) // 100) - 1)]

    return Latency(percentile_ms(50), percentile_ms(90), percentile_ms(99), len(ordered))


def rates_per_s(arrivals_s: Sequence[float], began_s: float, ended_s: float, windows: int) -> list[float]:
    """Arrivals per second in each of `windows` equal parts of the time from `began_s` to `ended_s`.

    Results come a batch at a time: a second that just misses one would seem too slow. So a window runs from the last
    arrival before it to the last one in it, which holds whole batches; one without arrivals is joined to the next.
    Raises ValueError when nothing arrived at two moments at least.
    """
    ordered = sorted(arrivals_s)
    nominal_s = (began_s + number * (ended_s - began_s) / windows for number in range(windows + 1))
    counts = sorted({count for end_s in nominal_s if (count := bisect_right(ordered, end_s))})
    if len(counts) < 2:
        raise ValueError(f"{len(ordered)} arrivals are too few to tell a rate")
    return [
        (after - before) / max(ordered[after - 1] - ordered[before - 1], SHORTEST_S)
        for before, after in pairwise(counts)
    ]
