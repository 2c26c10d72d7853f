"""What the commands print: sentences and progress on standard error, tables that keep every word whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from consumer.terminal.text import printable

WIDER_THAN_ANY_TABLE = 100_000


class SafeConsole(Console):
    """A console on which other people's words are words: no code in them reaches the terminal, no markup is read.

    What prints makes its words `printable` where their width matters; this is the wall behind it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as a console does, with all that is neither a character nor the console's own code made visible."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text="\n".join(map(printable, segment.text.split("\n"))))


def say(sentence: str) -> None:
    """Print a sentence on standard error, for whoever looks on: the terminal breaks it, and it is safe for one."""
    SafeConsole(stderr=True, soft_wrap=True).print(Text(printable(sentence)))


def tell(line: str) -> None:
    """Print a line of results on standard output, whole and safe for a terminal."""
    typer.echo(printable(line))


def counted(count: int, noun: str) -> str:
    """The number with its noun, such as `1 dead letter` or `2,000 dead letters`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error, where that is a terminal, and gone at the end.

    Yields what shows how much is done, and of how much (None: that is not known yet).
    """
    console = SafeConsole(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_uncut(table: Table) -> None:
    """Print a table in its full width, also where the terminal is narrower: what is in it is there to be copied."""
    console = SafeConsole(soft_wrap=True)
    endless = console.options.update_width(WIDER_THAN_ANY_TABLE)
    console.width = max(console.width, Measurement.get(console, endless, table).maximum)
    console.print(table)
