"""`moderate reprocess`: what it shows while it runs, and what it says at the end."""

from collections.abc import Callable, Iterable

from rich.table import Table
from rich.text import Text

from consumer.kafka.range_source import RangeProgress, Span, TimeRange
from consumer.kafka.topics import create_output_topics
from consumer.loading import load_model
from consumer.reprocess import Outcomes, look_at_range, run_range, settings_of_run
from consumer.settings import Settings
from consumer.terminal.moment import moment_text
from consumer.terminal.printing import counted, print_uncut, progress_bar, say
from consumer.terminal.text import printable


def reprocess_range(
    settings: Settings, time_range: TimeRange, results_topic: str, stopping: Callable[[], bool]
) -> bool:
    """Tag a range of the input topic again into `results_topic`; says whether all of it is done now.

    Raises `SettingsError` for a range, topic or broker that cannot be used, otherwise what a member of the stream
    raises; what was tagged until then is counted and stays.
    """
    run = settings_of_run(settings, time_range, results_topic)
    shown = f"{run.input_topic} from {moment_text(time_range.from_ms)} to {moment_text(time_range.to_ms)}"
    if reason := _nothing_to_do(look_at_range(run, time_range).values(), shown, results_topic):
        say(f"nothing to do: {reason}")
        return True
    engine, policy = load_model(run)
    create_output_topics(run)
    progress, outcomes = RangeProgress(), Outcomes()
    try:
        with progress_bar(f"tagging {run.input_topic}") as show:

            def stopping_meanwhile_showing() -> bool:
                show(progress.read, progress.total or None)
                return stopping()

            run_range(
                run,
                time_range,
                engine,
                policy,
                progress=progress,
                outcomes=outcomes,
                stopping=stopping_meanwhile_showing,
            )
    finally:
        _show(run, outcomes, f"{engine.name} {engine.version}", policy.version)
    if not progress.finished:
        say(f"stopped by a signal, at about {_share(progress)} of the range; the same command goes on from there")
    return progress.finished


def _nothing_to_do(spans: Iterable[Span], shown: str, results_topic: str) -> str:
    if all(span.begin == span.end for span in spans):
        return f"no records in {shown}"
    if all(span.next == span.end for span in spans):
        return f"{shown} was tagged into {results_topic} already; to do it again, name another --results-topic"
    return ""


def _show(run: Settings, outcomes: Outcomes, model: str, policy: str) -> None:
    dead_letters = sum(outcomes.dead_letters.values())
    table = Table(title="Tagged again", show_header=False, title_justify="left", min_width=50)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("into", run.results_topic)
    table.add_row("tagged", f"{outcomes.tagged:,}")
    table.add_row("dead letters", f"{dead_letters:,}")
    for reason, count in sorted(outcomes.dead_letters.items()):
        table.add_row(f"  {reason}", f"{count:,}")
    table.add_row("model", Text(printable(model)))
    table.add_row("policy", policy)
    table.add_row("group", Text(run.kafka_group_id))
    print_uncut(table)
    if dead_letters:
        say(
            f"{counted(dead_letters, 'dead letter')} in {run.dead_letter_topic}; look at them: "
            f"DEAD_LETTER_TOPIC={run.dead_letter_topic} moderate dead-letters list"
        )


def _share(progress: RangeProgress) -> str:
    return f"{progress.read / progress.total:.0%}" if progress.total else "0%"
