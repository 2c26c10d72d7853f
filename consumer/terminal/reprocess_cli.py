"""`moderate reprocess`."""

from typing import Annotated

import typer

from consumer.settings_parsing import load_settings
from consumer.terminal.errors import EXIT_FAILED, readable_errors, require_brokers
from consumer.terminal.moment import moment_ms


def reprocess(
    from_ms: Annotated[
        int,
        typer.Option("--from", parser=moment_ms, metavar="TIME", help="From this time on (RFC 3339 with an offset)."),
    ],
    to_ms: Annotated[int, typer.Option("--to", parser=moment_ms, metavar="TIME", help="Up to before this time.")],
    results_topic: Annotated[
        str,
        typer.Option(
            "--results-topic", metavar="NAME", help="Where the tagged comments go; created when it is not there."
        ),
    ],
) -> None:
    """Tag a range of the input topic again, with the model and the policy as they are set now.

    The range is read beside the stream, whose group and topics are not touched; dead letters go to NAME.dead-letter.
    In each partition it holds what lies between the first record of --from or later and the first one of --to or later.
    Interrupted, the same command goes on where it was; finished, it does nothing. Event ids are those of the stream.
    Exit status 0 when the whole range is done.

    Example: moderate reprocess --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --results-topic tagged-again
    """
    with readable_errors():
        from consumer.signals import StopOnSignal

        stop = StopOnSignal()
        settings = load_settings()
        require_brokers(settings.kafka_bootstrap_servers)
        from consumer.kafka.range_source import TimeRange
        from consumer.terminal.reprocess import reprocess_range

        finished = reprocess_range(settings, TimeRange(from_ms, to_ms), results_topic, stop.stopping)
    if not finished:
        raise typer.Exit(EXIT_FAILED)
