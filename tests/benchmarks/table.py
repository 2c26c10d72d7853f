"""What is printed: a line for every figure, and how far it reaches."""

from collections.abc import Sequence

from rich.table import Table

from tests.benchmarks.sampling import Figure


def table(title: str, figures: Sequence[Figure]) -> Table:
    """The figures that are not points of a plot."""
    shown = Table("figure", title=title, title_justify="left")
    for heading in ("median", "least to most", "unit"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("reach")
    shown.add_column("note")
    for figure in figures:
        if figure.point is None:
            value = figure.value
            spread = f"{number(value.least)} to {number(value.most)}"
            shown.add_row(figure.name, number(value.median), spread, figure.unit, reached(figure), figure.note)
    return shown


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def reached(figure: Figure) -> str:
    """Such as `>= 0.92, aim 0.97: at least`."""
    return f"{figure.reach}: {figure.reached}" if figure.reach else ""
