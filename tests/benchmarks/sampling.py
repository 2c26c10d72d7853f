"""Measuring in turns, and what comes of it: figures with a median and a range, and how far they reach.

Machines are noisy and differ: contenders take turns (A B A B), and a ratio is taken within each round, where both met
the same neighbours.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from consumer.terminal.bench_figures import Measured, measured

Name = TypeVar("Name", bound=Hashable)


class Reach(NamedTuple):
    """How far a figure should go; where `aim` is the smaller number, less is better."""

    at_least: float
    aim: float

    def reached(self, value: float) -> str:
        """`aim`, `at least` or `missed`."""
        sign = -1 if self.aim < self.at_least else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "at least" if sign * value >= sign * self.at_least else "missed"

    def __str__(self) -> str:
        """Such as `>= 0.92, aim 0.97`."""
        return f"{'<=' if self.aim < self.at_least else '>='} {self.at_least:g}, aim {self.aim:g}"


class Point(NamedTuple):
    """A place in a plot: which plot, on which of its lines, above which x; where x is a name, the part `line` of the
    bar with this name."""

    plot: str
    line: str
    x: float | str
    x_label: str


@dataclass(frozen=True)
class Figure:
    """One result: `value` in `unit` ("ratio" for a quotient); `note` says what a reader should know.

    One with a `point` is drawn and not printed.
    """

    name: str
    unit: str
    value: Measured
    reach: Reach | None = None
    note: str = ""
    point: Point | None = None

    @property
    def reached(self) -> str:
        """`aim`, `at least`, `missed`, or nothing where nothing was set."""
        return self.reach.reached(self.value.median) if self.reach else ""

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        reach = {**self.reach._asdict(), "reached": self.reached} if self.reach else None
        point = self.point and self.point._asdict()
        told = {"name": self.name, "unit": self.unit, **self.value._asdict()}
        return {**told, "reach": reach, "note": self.note, "point": point}


@dataclass(frozen=True)
class Run:
    """What a section is told: whether to measure the peers too, and whether a rough answer will do."""

    peers: bool
    quick: bool
    model: Path
    """The bundled model as an ordinary Hugging Face directory, for the peers."""

    @property
    def rounds(self) -> int:
        """How often each contender has its turn."""
        return 3 if self.quick else 5


def in_turns(contenders: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, list[float]]:
    """Measure every contender once a round; the values of each, a round at a time."""
    values: dict[Name, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            values[name].append(measure())
    return values


def ratio(values: Sequence[float], of: Sequence[float]) -> Measured:
    """`values` divided by `of`, round by round: the median of the ratios, not the ratio of the medians."""
    return measured([value / other for value, other in zip(values, of, strict=True)])


def fastest(values: Mapping[str, Sequence[float]]) -> str:
    """The name whose median is the highest."""
    return max(values, key=lambda name: measured(values[name]).median)
