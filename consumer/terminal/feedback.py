"""`moderate feedback collect`: from the feedback topic to a dataset on disk."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from consumer.batch import Record
from consumer.kafka.reading import OffsetRange, batches, make_reader, offset_ranges
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.terminal.feedback_results import compare_with_results
from consumer.terminal.feedback_tables import show_dataset
from consumer.terminal.printing import SafeConsole, say
from consumer.training.corrections import Rejected
from consumer.training.feedback_journal import REJECTED, Added, Journal, open_journal
from consumer.training.feedback_progress import another_topic
from consumer.training.feedback_record import FeedbackRecord

WRITE_DATASET_EVERY_S = 10.0
REJECTED_SHOWN = 20


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
    settings: Settings,
    directory: Path,
    group_id: str,
    *,
    idle_s: float,
    follow: bool,
    stopping: Callable[[], bool],
    against_results: bool = False,
) -> None:
    """Bring the dataset in `directory` up to the present end of the feedback topic, or follow it until `stopping()`.

    What the directory holds says where to go on, so a new directory gets everything that the topic still has; the
    group's offsets, committed once the records are on the disk, show others how far it is. With `against_results` the
    corrections are looked for among the stream's results afterwards. Whatever ends this, the dataset is whole.

    Raises `SettingsError`, `TrainingError` and `KafkaUnavailableError`.
    """
    group_id = group_id or f"{settings.kafka_group_id}-feedback"
    if group_id == settings.kafka_group_id:
        raise SettingsError("--group is KAFKA_GROUP_ID, the group of the stream itself; give feedback one of its own.")
    if follow and against_results:
        raise SettingsError("--against-results looks through the results once, at the end: leave --follow out.")
    topic = settings.feedback_topic
    with open_journal(directory) as journal, closing(make_reader(settings, group_id)) as consumer:
        ranges = offset_ranges(consumer, topic)
        last = journal.last_offsets(topic)
        _require_same_topic(directory, topic, ranges, last)
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
                    outcome.count(journal.add(map(_feedback_record, records)))
                    progress.update(task, advance=len(records), accepted=outcome.accepted)
                    if follow:
                        outcome.write_when_due(journal)
            if against_results:
                compare_with_results(settings, journal, group_id, idle_s=idle_s, stopping=stopping)
        finally:
            report = journal.write_dataset()
    _show(directory, outcome, report)
    if stopping() and not follow:
        say("stopped by a signal; run it again to read on to the end of the topic")


def _feedback_record(record: Record) -> FeedbackRecord:
    return FeedbackRecord(record.topic, record.partition, record.offset, record.timestamp_ms, record.value)


def _require_same_topic(
    directory: Path, topic: str, ranges: Mapping[int, OffsetRange], last: Mapping[int, int]
) -> None:
    """Raise `TrainingError` when the topic ends before what the journal holds: its records would pass for known."""
    for partition, offset in last.items():
        if partition not in ranges or ranges[partition].high <= offset:
            raise another_topic(directory, topic, partition, offset)


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
    show_dataset(report, accepted=outcome.accepted, rejected=outcome.rejected, known=outcome.known)
    if report["rows"]:
        say(f"next: moderate train fit DATA --feedback {directory} --continue-from MODEL --output NEW")
