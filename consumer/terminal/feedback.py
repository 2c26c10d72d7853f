"""`moderate feedback collect`: from the feedback topic to a dataset on disk."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from consumer.kafka.reading import OffsetRange, batches, make_reader, offset_ranges
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.terminal.printing import SafeConsole, say
from consumer.terminal.text import printable
from consumer.training.corrections import Rejected
from consumer.training.feedback_journal import REJECTED, Added, Journal, open_journal

WRITE_DATASET_EVERY_S = 10.0
REJECTED_SHOWN = 20
CONFLICTS_SHOWN = 5


@dataclass
class Outcome:
    """What became of the records of this run, and when the dataset was last brought up to date with them."""

    accepted: int = 0
    known: int = 0
    rejected: int = 0
    first_rejected: list[Rejected] = field(default_factory=list)
    unwritten: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def count(self, added: Added) -> None:
        """Count a batch."""
        self.accepted += added.accepted
        self.known += added.known
        self.rejected += len(added.rejected)
        self.first_rejected += added.rejected[: REJECTED_SHOWN - len(self.first_rejected)]
        self.unwritten += added.accepted + len(added.rejected)

    def write_when_due(self, journal: Journal) -> None:
        """Write the dataset anew when there is something new, but not for each of many small batches."""
        if self.unwritten and time.monotonic() - self.written_at > WRITE_DATASET_EVERY_S:
            journal.write_dataset()
            self.unwritten = 0
            self.written_at = time.monotonic()


def collect(
    settings: Settings, directory: Path, group_id: str, *, idle_s: float, follow: bool, stopping: Callable[[], bool]
) -> None:
    """Bring the dataset in `directory` up to the present end of the feedback topic, or follow it until `stopping()`.

    What the directory holds says where to go on, so a new directory gets everything that the topic still has; the
    group's offsets, committed once the records are on the disk, show others how far it is. Whatever ends this, the
    dataset is whole. Raises `SettingsError`, `TrainingError` and `KafkaUnavailableError`.
    """
    group_id = group_id or f"{settings.kafka_group_id}-feedback"
    if group_id == settings.kafka_group_id:
        raise SettingsError("--group is KAFKA_GROUP_ID, the group of the stream itself; give feedback one of its own.")
    topic = settings.feedback_topic
    with open_journal(directory) as journal, closing(make_reader(settings, group_id)) as consumer:
        ranges = offset_ranges(consumer, topic)
        last = journal.last_offsets(topic)
        _warn_of_expired(ranges, last)
        # The last known record is read again: it tells whether this is still the topic that the journal knows.
        starts = {partition: last.get(partition, there.low) for partition, there in ranges.items()}
        ends = None if follow else {partition: there.high for partition, there in ranges.items()}
        total = sum(max(0, there.high - starts[partition]) for partition, there in ranges.items())
        outcome = Outcome()
        try:
            with _progress() as progress:
                task = progress.add_task(f"reading {topic}", total=None if follow else total, accepted=0)
                for records in batches(consumer, topic, starts, ends, idle_s=idle_s, stopping=stopping):
                    outcome.count(journal.add((r.topic, r.partition, r.offset, r.value) for r in records))
                    progress.update(task, advance=len(records), accepted=outcome.accepted)
                    if follow:
                        outcome.write_when_due(journal)
        finally:
            report = journal.write_dataset()
    _show(directory, outcome, report)
    if stopping() and not follow:
        say("stopped by a signal; run it again to read on to the end of the topic")


def _warn_of_expired(ranges: Mapping[int, OffsetRange], last: Mapping[int, int]) -> None:
    expired = {
        partition: max(0, ranges[partition].low - offset - 1)
        for partition, offset in last.items()
        if partition in ranges
    }
    if any(expired.values()):
        say(
            f"warning: {sum(expired.values()):,} offsets were deleted by the topic's retention before they were "
            "collected; collect more often, or keep records longer (retention.ms)"
        )


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[accepted]:,} accepted"),
    )
    return Progress(*columns, TimeElapsedColumn(), console=SafeConsole(stderr=True), transient=True)


def _show(directory: Path, outcome: Outcome, report: Mapping[str, Any]) -> None:
    for entry in outcome.first_rejected:
        say(f"rejected: partition {entry.partition}, offset {entry.offset}: {entry.reason}")
    if outcome.rejected:
        say(f"{outcome.rejected:,} rejected; all of them, with their reasons, are in {directory / REJECTED}")
    table = Table(title="Feedback", show_header=False, title_justify="left", min_width=60)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("accepted now", f"{outcome.accepted:,}")
    table.add_row("rejected now", f"{outcome.rejected:,}")
    table.add_row("read again, known", f"{outcome.known:,}")
    table.add_row("corrections in all", f"{report['corrections']:,} of {report['comments']:,} comments")
    table.add_row("rows to train on", f"{report['rows']:,}")
    for group, counts in report["labels"].items():
        table.add_row(f"  {group}", ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    table.add_row("conflicts", Text(f"{report['conflicts']:,}{_some_ids(report['conflicting_comment_ids'])}"))
    table.add_row("version", report["version"][:12])
    SafeConsole().print(table)
    if report["rows"]:
        say(f"next: moderate train fit DATA --feedback {directory} --continue-from MODEL --output NEW")


def _some_ids(comment_ids: Sequence[str]) -> str:
    if not comment_ids:
        return ""
    shown = ", ".join(printable(comment_id) for comment_id in comment_ids[:CONFLICTS_SHOWN])
    return f" ({shown}{', …: all in report.json' if len(comment_ids) > CONFLICTS_SHOWN else ''})"
