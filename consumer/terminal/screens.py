"""The demo's live screen and its summary."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from consumer.terminal.display import ACTION_STYLES, LiveRows
from consumer.terminal.ledger import Ledger, percentile
from consumer.terminal.printing import SafeConsole
from consumer.terminal.produce import Produced
from schemas import TaggedComment

LIVE_ROWS = 14


class LiveScreen:
    """A progress bar over a table of the last outcomes; `total` counts records or bytes, None when it is not known."""

    def __init__(self, console: Console, total: int | None, *, by_bytes: bool) -> None:
        self._by_bytes = by_bytes
        self._rows = LiveRows(LIVE_ROWS)
        columns = [TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()]
        self._bar = Progress(
            *columns,
            MofNCompleteColumn() if not by_bytes else TextColumn("{task.fields[count]} comments"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("starting", total=total, count=0)
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def status(self, sentence: str) -> None:
        """Say what is being waited for."""
        self._bar.update(self._task, description=sentence)

    def tagged(self, event: TaggedComment) -> None:
        """Show a tagged comment."""
        self._rows.add_event(event)

    def dead_letter(self, value: bytes | None, reason: str) -> None:
        """Show a dead letter."""
        self._rows.add_dead_letter(value, reason)

    def progress(self, ledger: Ledger, position_bytes: int) -> None:
        """Show how far it is."""
        done = ledger.sent - ledger.in_flight
        if done:
            self._bar.update(
                self._task, description="tagging", completed=position_bytes if self._by_bytes else done, count=done
            )

    def _render(self) -> Group:
        return Group(self._rows.table(), self._bar)


def summary(ledger: Ledger, elapsed_s: float) -> Table:
    """In, out, where the answers came from, and how fast."""
    table = Table(title="Summary", show_header=False, title_justify="left", min_width=60)
    table.add_column(style="bold")
    table.add_column()
    dead = sum(ledger.dead_letters.values())
    table.add_row("in", f"{ledger.sent:,}")
    table.add_row("tagged", f"{ledger.tagged:,}")
    table.add_row(
        "dead letters",
        f"{dead:,}" + "".join(f"\n  {reason}: {count:,}" for reason, count in sorted(ledger.dead_letters.items())),
    )
    table.add_row(
        "decisions",
        Text("  ").join(
            Text.assemble((action, ACTION_STYLES[action]), f" {count:,}")
            for action, count in sorted(ledger.actions.items())
        ),
    )
    repeats = ledger.tagged - ledger.answered_by["model"]
    share = repeats / ledger.tagged if ledger.tagged else 0.0
    table.add_row(
        "answered by", ", ".join(f"{layer} {ledger.answered_by[layer]:,}" for layer in ("model", "memory", "redis"))
    )
    table.add_row("cache hit share", f"{share:.1%}")
    if elapsed_s > 0 and ledger.sent > 1:
        table.add_row("throughput", f"{(ledger.sent - 1) / elapsed_s:,.0f} comments/s")
    latencies = ledger.latencies_s
    table.add_row(
        "latency, produce to result",
        f"p50 {percentile(latencies, 0.5) * 1000:,.0f} ms, p99 {percentile(latencies, 0.99) * 1000:,.0f} "
        "ms (under full load)",
    )
    return table


@contextmanager
def produce_progress(total_bytes: int | None) -> Iterator[Callable[[Produced], None]]:
    """A progress bar for `moderate produce` on stderr."""
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=SafeConsole(stderr=True), transient=True) as bar:
        task = bar.add_task("producing", total=total_bytes)

        def show(produced: Produced) -> None:
            bar.update(
                task,
                description=f"{produced.acknowledged:,} of {produced.sent:,} acknowledged",
                completed=produced.position_bytes,
            )

        yield show
