"""Looks for the corrected texts among the stream's results."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from consumer.kafka.reading import make_reader, offset_ranges, read_batches
from consumer.settings import Settings
from consumer.terminal.printing import SafeConsole, say
from consumer.training.feedback_journal import Journal


def compare_with_results(
    settings: Settings, journal: Journal, group_id: str, *, idle_s: float, stopping: Callable[[], bool]
) -> None:
    """Read the results topic from its beginning to its present end, or until every corrected text was found.

    Commits nothing. Stopped before its end it leaves the dataset as it was. Raises `TrainingError` and
    `KafkaUnavailableError`.
    """
    comparison = journal.comparison()
    topic = settings.results_topic
    with closing(make_reader(settings, group_id)) as consumer:
        ranges = {} if comparison.is_complete else offset_ranges(consumer, topic)
        starts = {partition: there.low for partition, there in ranges.items()}
        ends = {partition: there.high for partition, there in ranges.items()}
        ending = lambda: stopping() or comparison.is_complete  # noqa: E731
        with _progress(f"looking through {topic}", sum(ends.values()) - sum(starts.values())) as advance:
            for records in read_batches(consumer, topic, starts, ends, idle_s=idle_s, stopping=ending):
                for record in records:
                    comparison.compare(record.value)
                advance(len(records))
    if not comparison.is_complete and stopping():
        say("stopped before the end of the results; nothing was left out for it")
        return
    if not comparison.is_complete and any(starts.values()):
        say(
            f"note: the oldest results are no longer in {topic}; a comment that only they held counts as never tagged. "
            "Compare more often than the topic's retention: what was found once stays found"
        )
    journal.keep(comparison)


@contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=SafeConsole(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.update(task, advance=count)
