"""The plots of an evaluation report, as SVG that takes the colour of its text from the page around it."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from consumer.terminal.text import printable

_INK = "#010203"  # stands for the page's text colour, which is dark by day and light by night
_BLUE, _GREEN, _AMBER, _RED = "#3b82f6", "#16a34a", "#d97706", "#dc2626"  # readable on white and on black
_MOST_OPAQUE = 0.7  # a fuller cell would hide its number
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",  # the same figures give the same page
    "text.parse_math": False,  # a model may name its labels as it likes
    "font.size": 11,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_ELEMENT_ID = re.compile(r' id="[\w.]+_\d+"')  # nothing refers to them, and every plot has the same


def confusion_plot(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Markup:
    """Return the confusion matrix: the wanted label down, the model's across, coloured by the share of its row."""

    names = [printable(label) for label in labels]

    def draw(axes: Axes) -> None:
        for row, counts in enumerate(matrix):
            total = max(sum(counts), 1)
            for column, count in enumerate(counts):
                colour = _BLUE if row == column else _AMBER
                axes.add_patch(Rectangle((column, row), 1, 1, color=colour, alpha=count / total * _MOST_OPAQUE))
                axes.text(column + 0.5, row + 0.5, f"{count:,}\n{count / total:.0%}", ha="center", va="center")
        places = [position + 0.5 for position in range(len(labels))]
        axes.set(xlim=(0, len(labels)), ylim=(len(labels), 0), aspect="equal")
        axes.set_xticks(places, names)
        axes.set_yticks(places, names, rotation=90, va="center")
        axes.set(xlabel="the model says", ylabel="people say")

    return _svg("Confusion matrix", draw)


def reliability_plot(bins: Sequence[Mapping[str, float]]) -> Markup:
    """Return the accuracy of every confidence bin against the diagonal of a model that is as sure as it is right."""

    def draw(axes: Axes) -> None:
        most_rows = max(part["rows"] for part in bins)
        for part in bins:
            axes.bar(
                part["from"],
                part["accuracy"],
                width=part["to"] - part["from"],
                align="edge",
                color=_BLUE,
                # Bins of few rows are drawn pale: their height is chance.
                alpha=0.25 + 0.6 * part["rows"] / most_rows,
            )
        axes.plot([0, 1], [0, 1], color=_INK, linestyle="--", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="how sure the model is", ylabel="how often it is right")

    return _svg("Reliability diagram", draw)


def threshold_plot(thresholds: Sequence[Mapping[str, Any]]) -> Markup:
    """Return precision, recall, share and false-positive rate by threshold; undefined values leave a gap."""
    lines = {
        "precision": ("precision", _BLUE, "-"),
        "recall": ("recall", _GREEN, "--"),
        "share of all comments": ("share", _AMBER, "-."),
        "false-positive rate": ("false_positive_rate", _RED, ":"),
    }

    def draw(axes: Axes) -> None:
        at = [row["threshold"] for row in thresholds]
        for name, (key, colour, style) in lines.items():
            values = [float("nan") if row[key] is None else row[key] for row in thresholds]
            axes.plot(at, values, color=colour, linestyle=style, linewidth=2, label=name)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold on the score of toxic")
        axes.figure.legend(loc="outside upper center", ncols=2, frameon=False)

    return _svg("Figures by threshold", draw)


def _svg(title: str, draw: Callable[[Axes], None]) -> Markup:
    with rc_context(_STYLE):
        figure = Figure(figsize=(4.8, 4.2), layout="constrained")
        draw(figure.add_subplot())
        file = io.StringIO()
        metadata: Any = _NO_METADATA
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    svg = file.getvalue()
    svg = _ELEMENT_ID.sub("", svg[svg.index("<svg") :]).replace(_INK, "currentColor")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1))  # noqa: S704 - matplotlib escapes
