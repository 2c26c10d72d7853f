"""Pictures of the figures that are points: a picture for each plot, a line for each contender."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from tests.benchmarks.sampling import Figure

mpl.use("Agg")  # draws into files, wherever this runs

from matplotlib import pyplot as plt

WIDE = 10
"""An axis is logarithmic when its ends are further apart than by this factor."""


def draw(figures: Sequence[Figure], directory: Path) -> list[Path]:
    """Write the plots as PNG files and return their paths."""
    plots = dict.fromkeys(figure.point.plot for figure in figures if figure.point)
    return [_draw(plot, figures, directory) for plot in plots]


def _draw(plot: str, figures: Sequence[Figure], directory: Path) -> Path:
    shown = [(figure, figure.point) for figure in figures if figure.point and figure.point.plot == plot]
    canvas, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for line in dict.fromkeys(point.line for _, point in shown):
        points = [(point.x, figure.value) for figure, point in shown if point.line == line]
        values = [value for _, value in points]
        below = [value.median - value.least for value in values]
        above = [value.most - value.median for value in values]
        medians = [value.median for value in values]
        axes.errorbar([x for x, _ in points], medians, [below, above], label=line, marker="o", capsize=3)
    first, point = shown[0]
    axes.set(title=plot, xlabel=point.x_label, ylabel=first.unit)
    if max(point.x for _, point in shown) > WIDE * min(point.x for _, point in shown) > 0:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.grid(alpha=0.3)
    path = directory / f"{plot.lower().replace(' ', '-')}.png"
    canvas.savefig(path, dpi=120)
    plt.close(canvas)
    return path
