"""Pictures of the figures that are points: a picture for each plot, a line for each contender, or bars of parts."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from tests.benchmarks.sampling import Figure, Point

mpl.use("Agg")  # draws into files, wherever this runs

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

WIDE = 10
"""An axis is logarithmic when its ends are further apart than by this factor."""


def draw(figures: Sequence[Figure], directory: Path) -> list[Path]:
    """Write the plots as PNG files and return their paths."""
    plots = dict.fromkeys(figure.point.plot for figure in figures if figure.point)
    return [_draw(plot, figures, directory) for plot in plots]


def _draw(plot: str, figures: Sequence[Figure], directory: Path) -> Path:
    shown = [(figure, figure.point) for figure in figures if figure.point and figure.point.plot == plot]
    canvas, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    first, point = shown[0]
    (_bars if isinstance(point.x, str) else _lines)(axes, shown)
    axes.set(title=plot, xlabel=point.x_label, ylabel=first.unit)
    axes.set_ylim(bottom=0)
    canvas.legend(loc="outside right upper")
    axes.grid(alpha=0.3)
    path = directory / f"{plot.lower().replace(' ', '-').replace(',', '')}.png"
    canvas.savefig(path, dpi=120)
    plt.close(canvas)
    return path


def _lines(axes: Axes, shown: Sequence[tuple[Figure, Point]]) -> None:
    for line in dict.fromkeys(point.line for _, point in shown):
        points = [(float(point.x), figure.value) for figure, point in shown if point.line == line]
        values = [value for _, value in points]
        below = [value.median - value.least for value in values]
        above = [value.most - value.median for value in values]
        medians = [value.median for value in values]
        axes.errorbar([x for x, _ in points], medians, [below, above], label=line, marker="o", capsize=3)
    ends = [float(point.x) for _, point in shown]
    if max(ends) > WIDE * min(ends) > 0:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")


def _bars(axes: Axes, shown: Sequence[tuple[Figure, Point]]) -> None:
    """A bar for each x, of parts that stand on each other."""
    heights = dict.fromkeys((str(point.x) for _, point in shown), 0.0)
    for line in dict.fromkeys(point.line for _, point in shown):
        parts = {str(point.x): figure.value.median for figure, point in shown if point.line == line}
        axes.bar(list(parts), list(parts.values()), bottom=[heights[x] for x in parts], label=line, width=0.5)
        heights |= {x: heights[x] + part for x, part in parts.items()}
