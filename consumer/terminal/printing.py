"""What the commands print: sentences and progress on standard error, tables that keep every word whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from consumer.terminal.text import printable

WIDER_THAN_ANY_TABLE = 100_000


def say(sentence: str) -> None:
    """Print a sentence on standard error, for whoever looks on: the terminal breaks it, and it is safe for one."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(printable(sentence)))


def counted(count: int, noun: str) -> str:
    """The number with its noun, such as `1 dead letter` or `2,000 dead letters`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error, where that is a terminal, and gone at the end.

    Yields what shows how much is done, and of how much (None: that is not known yet).
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_uncut(table: Table) -> None:
    """Print a table in its full width, also where the terminal is narrower: what is in it is there to be copied."""
    console = Console(highlight=False, soft_wrap=True)
    endless = console.options.update_width(WIDER_THAN_ANY_TABLE)
    console.width = max(console.width, Measurement.get(console, endless, table).maximum)
    console.print(table)
