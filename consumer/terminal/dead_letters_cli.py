"""The commands of `moderate dead-letters`."""

import re
from typing import Annotated

import typer

from consumer.dead_letters import Position, Selection
from consumer.settings import Settings
from consumer.settings_parsing import load_settings
from consumer.terminal.errors import EXIT_FAILED, EXIT_USAGE, complain, readable_errors, require_brokers
from consumer.terminal.moment import moment_ms
from schemas import DeadLetterReason

dead_letters_app = typer.Typer(
    help="Records that could not be processed: what they are, and back into the stream.", no_args_is_help=True
)


def _position(text: str) -> Position:
    if not (found := re.fullmatch(r"([0-9]{1,9}):([0-9]{1,18})", text)):
        raise typer.BadParameter(f"{text!r} is not PARTITION:OFFSET, such as 3:51873.")
    return Position(int(found[1]), int(found[2]))


Reasons = Annotated[
    list[DeadLetterReason] | None, typer.Option("--reason", help="Only this reason; may be given several times.")
]
Since = Annotated[
    int | None,
    typer.Option(parser=moment_ms, metavar="TIME", help="Only those written at this time (RFC 3339) or later."),
]
Until = Annotated[
    int | None, typer.Option(parser=moment_ms, metavar="TIME", help="Only those written before this time (RFC 3339).")
]


def _settings() -> Settings:
    from consumer.telemetry.logs import set_up_logs

    settings = load_settings()
    require_brokers(settings.kafka_bootstrap_servers)
    set_up_logs("warning", "console")
    return settings


@dead_letters_app.command("list")
def dead_letters_list(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count the dead letters by reason: how many, since when, how often they were replayed.

    Reads the whole dead-letter topic and changes nothing. Its last column is a place to begin with:
    moderate dead-letters show 3:51873
    """
    with readable_errors():
        from consumer.signals import StopOnSignal
        from consumer.terminal.dead_letters import list_dead_letters

        settings = _settings()
        selection = Selection(frozenset(reason or ()), since_ms=since, until_ms=until)
        list_dead_letters(settings, selection, as_json=as_json, stopping=StopOnSignal().stopping)


@dead_letters_app.command("show")
def dead_letters_show(
    position: Annotated[
        Position,
        typer.Argument(
            parser=_position,
            metavar="PARTITION:OFFSET",
            help="Where it lies in the dead-letter topic, such as 3:51873.",
        ),
    ],
    full: Annotated[bool, typer.Option("--full", help="Cut nothing, however long it is.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the value's exact bytes, and nothing else.")] = False,
) -> None:
    """Print one dead letter with its headers and its value, made safe for a terminal.

    A value that is not UTF-8 is shown as a hex dump.
    """
    with readable_errors():
        from consumer.signals import StopOnSignal
        from consumer.terminal.dead_letter_show import show_dead_letter

        show_dead_letter(_settings(), position, raw=raw, full=full, stopping=StopOnSignal().stopping)


@dead_letters_app.command("replay")
def dead_letters_replay(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    offset: Annotated[
        list[Position] | None,
        typer.Option(parser=_position, metavar="PARTITION:OFFSET", help="Only this one; may be given several times."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    max_attempts: Annotated[
        int, typer.Option("--max-attempts", min=1, help="Leave those that were replayed this often already.")
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed, and change nothing.")] = False,
) -> None:
    """Send dead letters to the input topic again, each once, also when this is killed and run again.

    Choose them by reason, time or place (all that is given must hold), or take --all. Key, value and headers are the
    original ones; the header dlq.attempts counts the replays. A receipt in the dead-letter topic, in the same
    transaction, keeps a dead letter from being replayed twice. Exit status 1 when something that was chosen was left.

    Example: moderate dead-letters replay --reason text-fails-model --since 2026-03-01T09:30:00Z --dry-run
    """
    selection = Selection(frozenset(reason or ()), frozenset(offset or ()), since, until)
    if everything == (selection != Selection()):
        complain("Choose dead letters by --reason, --since, --until or --offset, or else all of them by --all.")
        raise typer.Exit(EXIT_USAGE)
    with readable_errors():
        from consumer.signals import StopOnSignal
        from consumer.terminal.dead_letter_replay import replay_dead_letters

        settings, stop = _settings(), StopOnSignal()
        complete = replay_dead_letters(
            settings, selection, max_attempts=max_attempts, dry_run=dry_run, stopping=stop.stopping
        )
    if not complete:
        raise typer.Exit(EXIT_FAILED)
