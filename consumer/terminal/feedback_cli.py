"""The commands of `moderate feedback`."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.settings_parsing import load_settings
from consumer.terminal.errors import readable_errors, require_brokers

feedback_app = typer.Typer(help="Moderators' corrections as training data.", no_args_is_help=True)


@feedback_app.command("collect")
def feedback_collect(
    directory: Annotated[Path, typer.Argument(help="The dataset: a new directory, or one collected into before.")],
    group: Annotated[
        str, typer.Option(help="Consumer group whose offsets show how far it is; KAFKA_GROUP_ID-feedback if empty.")
    ] = "",
    idle_s: Annotated[
        float, typer.Option("--idle-s", min=0.5, help="Give up after this many seconds without a record or an end.")
    ] = 5.0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on reading until SIGTERM or Ctrl-C.")] = False,
    against_results: Annotated[
        bool,
        typer.Option(
            "--against-results",
            help="Look for the corrected texts among the stream's results (RESULTS_TOPIC), and from then on leave out "
            "of the rows what never came out of the stream.",
        ),
    ] = False,
) -> None:
    """Collect moderators' corrections from the feedback topic into a dataset to train on.

    Reads on from what DIRECTORY holds to the present end of the topic. Records that break the contract are listed and
    kept in rejected.jsonl. The last correction of a comment counts, for each tag group; moderators who contradict each
    other, and who gave most of the labels, are reported.

    Example: moderate feedback collect corrections, then moderate train fit DATA --feedback corrections.
    """
    with readable_errors():
        from consumer.signals import StopOnSignal
        from consumer.telemetry.logs import set_up_logs
        from consumer.terminal.feedback import collect

        settings = load_settings()
        require_brokers(settings.kafka_bootstrap_servers)
        set_up_logs("warning", "console")
        stop = StopOnSignal()
        collect(
            settings,
            directory,
            group,
            idle_s=idle_s,
            follow=follow,
            stopping=stop.stopping,
            against_results=against_results,
        )
