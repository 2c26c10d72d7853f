"""What `moderate bench` shows while it measures, and what it has found."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from consumer.terminal.bench import IDLE_PER_S, Findings
from consumer.terminal.bench_plan import Plan, spelled_out
from consumer.terminal.printing import SafeConsole

MIB = 1024 * 1024
MB = 1_000_000


class BenchScreen:
    """A progress bar on standard error; where that is no terminal, a line for each step."""

    def __init__(self, about_seconds: float) -> None:
        self._console = SafeConsole(stderr=True)
        columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("starting", total=about_seconds)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, sentence: str) -> None:
        """Say what is being measured now."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=sentence)
        else:
            self._console.print(sentence)

    def passed(self, seconds: float) -> None:
        """Some seconds have passed."""
        self._bar.advance(self._task, seconds)


def show(console: Console, found: Findings, plans: Sequence[Plan], peak_factor: float) -> None:
    """Print all tables and the arithmetic."""
    machine = found.machine
    console.print(
        f"Model {found.model} ({found.fingerprint}) on {machine.device}: {machine.system}, {machine.cores} cores, "
        f"{machine.threads} model threads. Texts: no two alike, {found.texts.tokens:.0f} tokens in the mean. The "
        f"client, the embedded broker and the cache ({found.cache}) had their share of the same cores.\n"
    )
    console.print(_engine(found))
    console.print(_stream(found))
    console.print(_levels(found))
    console.print(_memory(found) + "\n")
    console.print(_plans(found, plans, peak_factor))
    for one in plans:
        console.print(
            Text.assemble(
                "\n",
                (f"{one.rate_per_s:,.0f} comments/s, all new", "bold"),
                f": {spelled_out(one, peak_factor)} At the peak the "
                f"brokers take {one.input_bytes_per_s / MB:,.1f} MB/s of comments and "
                f"{one.result_bytes_per_s / MB:,.1f} MB/s of results, before compression and replication.",
            )
        )


def _plans(found: Findings, plans: Sequence[Plan], peak_factor: float) -> Table:
    shares = [share for share in found.stream if share < 1]
    columns = [f"{share:.0%} repeats" for share in shares]
    table = _table("Members / partitions, by comments/s (mean over a day)", "comments/s", *columns)
    table.add_row("(one member)", *(f"{found.stream[share].median:,.0f}/s" for share in shares))
    for one in plans:
        by_share = [found.plan(one.rate_per_s, peak_factor, share) for share in shares]
        table.add_row(f"{one.rate_per_s:,.0f}", *(f"{plan.members:,} / {plan.partitions:,}" for plan in by_share))
    return table


def _engine(found: Findings) -> Table:
    table = _table("The model alone", "texts per call", "comments/s, median (range)")
    for size, rate in found.engine.items():
        table.add_row(str(size), str(rate))
    return table


def _stream(found: Findings) -> Table:
    table = _table("The stream, topic to topic", "repeats", "comments/s, median (range)")
    for share, rate in found.stream.items():
        table.add_row(f"{share:.0%}", str(rate))
    return table


def _levels(found: Findings) -> Table:
    table = _table(
        "Latency, due to result, new texts at random moments",
        "comments/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "of",
        "sent late, p99 ms",
    )
    capacity = found.stream[0.0].median
    for level in found.levels:
        share = "idle" if level.rate_per_s == IDLE_PER_S else f"{level.rate_per_s / capacity:.0%}"
        figures = (level.latency.p50_ms, level.latency.p90_ms, level.latency.p99_ms)
        table.add_row(
            f"{level.rate_per_s:,.0f} ({share})",
            *(f"{figure:,.0f}" for figure in figures),
            f"{level.latency.samples:,}" + ("" if level.held else ", given up: too fast"),
            f"{level.late_p99_ms:.1f}",
        )
    return table


def _memory(found: Findings) -> str:
    if not (found.memory_idle and found.memory_after):
        return "A member's memory cannot be read on this system."
    idle, after = found.memory_idle, found.memory_after
    return (
        f"A member's memory: {idle.now_bytes / MIB:,.0f} MiB when it has started, {after.now_bytes / MIB:,.0f} MiB "
        f"after all this, {after.most_bytes / MIB:,.0f} MiB at most."
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right")
    return table
