"""`moderate dead-letters list`: what the dead-letter topic holds, by reason."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import typer
from confluent_kafka import Consumer
from rich import box
from rich.table import Table
from rich.text import Text

from consumer.dead_letters import Contents, DeadLetter, Selection
from consumer.kafka.clients import make_admin
from consumer.kafka.dead_letters import dead_letter_reader, read_contents
from consumer.kafka.reading import OffsetRange, offset_ranges
from consumer.kafka.topics import reach
from consumer.settings import Settings
from consumer.terminal.moment import moment_text
from consumer.terminal.printing import SafeConsole, counted, print_uncut, progress_bar

IDLE_S = 30.0


@dataclass
class ReasonSummary:
    """The dead letters of one reason."""

    letters: int = 0
    replayed: int = 0
    most_attempts: int = 0
    oldest: DeadLetter | None = None
    newest: DeadLetter | None = None

    def add(self, letter: DeadLetter, *, replayed: bool) -> None:
        """Count one."""
        self.letters += 1
        self.replayed += replayed
        self.most_attempts = max(self.most_attempts, letter.attempts)
        if self.oldest is None or letter.written_ms < self.oldest.written_ms:
            self.oldest = letter
        if self.newest is None or letter.written_ms >= self.newest.written_ms:
            self.newest = letter


@dataclass
class Summary:
    """What was selected of the dead letters, and what else lies in the topic."""

    others: int
    by_reason: dict[str, ReasonSummary] = field(default_factory=dict)

    @property
    def letters(self) -> int:
        """How many dead letters were selected."""
        return sum(of_reason.letters for of_reason in self.by_reason.values())

    @property
    def replayed(self) -> int:
        """How many of them are done: their record was replayed."""
        return sum(of_reason.replayed for of_reason in self.by_reason.values())


def list_dead_letters(settings: Settings, selection: Selection, *, as_json: bool, stopping: Callable[[], bool]) -> None:
    """Print the dead letters that are selected, counted by reason.

    Raises `KafkaUnavailableError` when the topic cannot be read, `StoppedError` when a signal came first.
    """
    reach(make_admin(settings), settings)
    topic = settings.dead_letter_topic
    with closing(dead_letter_reader(settings)) as consumer:
        contents = contents_of(consumer, topic, offset_ranges(consumer, topic), idle_s=IDLE_S, stopping=stopping)
    summary = summarise(contents, selection)
    if as_json:
        typer.echo(json.dumps(as_object(topic, summary)))
    else:
        _show(topic, summary)


def contents_of(
    consumer: Consumer,
    topic: str,
    ranges: Mapping[int, OffsetRange],
    *,
    idle_s: float,
    stopping: Callable[[], bool],
) -> Contents:
    """`read_contents` with a progress bar."""
    total = sum(there.high - there.low for there in ranges.values())
    with progress_bar(f"reading {topic}") as show:

        def on_read(records: int) -> None:
            show(records, total)

        return read_contents(consumer, topic, ranges, idle_s=idle_s, stopping=stopping, on_read=on_read)


def summarise(contents: Contents, selection: Selection) -> Summary:
    """Count by reason; a dead letter is replayed when its record was, also as another dead letter of it."""
    summary = Summary(contents.others)
    replayed = contents.replayed_sources()
    for letter in filter(selection.wants, contents.letters):
        of_reason = summary.by_reason.setdefault(letter.reason.value, ReasonSummary())
        of_reason.add(letter, replayed=letter.source in replayed)
    return summary


def as_object(topic: str, summary: Summary) -> dict[str, Any]:
    """The summary as `--json` prints it."""
    return {
        "topic": topic,
        "dead_letters": summary.letters,
        "replayed": summary.replayed,
        "other_records": summary.others,
        "reasons": [
            {
                "reason": reason,
                "dead_letters": of_reason.letters,
                "replayed": of_reason.replayed,
                "most_attempts": of_reason.most_attempts,
                "oldest": _when(of_reason.oldest),
                "newest": _when(of_reason.newest),
                "newest_at": str(of_reason.newest.position) if of_reason.newest else None,
            }
            for reason, of_reason in _most_first(summary)
        ],
    }


def moment(timestamp_ms: int) -> str:
    """A record's timestamp for a person to read, and for `--since` and `--until` to take; nonsense as the number."""
    try:
        return moment_text(timestamp_ms)
    except OverflowError:
        return f"{timestamp_ms} ms"


def _show(topic: str, summary: Summary) -> None:
    console = SafeConsole(soft_wrap=True)
    if summary.by_reason:
        print_uncut(_table(summary))
    console.print(
        f"{topic}: {counted(summary.letters, 'dead letter')}, {summary.replayed:,} replayed"
        if summary.letters
        else f"{topic}: no dead letters"
    )
    if summary.others:
        console.print(f"left out: {counted(summary.others, 'record')} of other kinds")


def _table(summary: Summary) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("reason", no_wrap=True)
    for name in ("count", "replayed", "most\nattempts"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("oldest\nnewest", no_wrap=True)
    table.add_column("newest at", no_wrap=True)
    for reason, of_reason in _most_first(summary):
        table.add_row(
            Text(reason, "magenta"),
            f"{of_reason.letters:,}",
            f"{of_reason.replayed:,}",
            f"{of_reason.most_attempts:,}",
            f"{_when(of_reason.oldest, 1_000)}\n{_when(of_reason.newest, 1_000)}",
            str(of_reason.newest.position) if of_reason.newest else "",
        )
    return table


def _most_first(summary: Summary) -> list[tuple[str, ReasonSummary]]:
    return sorted(summary.by_reason.items(), key=lambda entry: (-entry[1].letters, entry[0]))


def _when(letter: DeadLetter | None, precision_ms: int = 1) -> str:
    return moment(letter.written_ms // precision_ms * precision_ms) if letter else ""
