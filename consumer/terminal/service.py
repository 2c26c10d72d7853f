"""`moderate run` and `moderate serve`: a process that works until it is told to stop, and speaks through its log."""

from typing import Literal

import typer

from consumer.errors import ReaderError
from consumer.settings_parsing import SettingsError, load_settings, misspelled_in_environment
from consumer.terminal.errors import EXIT_FAILED, EXIT_USAGE, readable_errors


def run_service(name: Literal["run", "serve"]) -> None:
    """Run `consumer.app.run` or `.serve` until SIGTERM or SIGINT. Raises `typer.Exit` with a non-zero status when it
    ends by itself; its last log line says why."""
    from consumer.signals import StopOnSignal

    stop = StopOnSignal()
    with readable_errors():
        settings = load_settings()
    import structlog

    from consumer.telemetry.logs import frames_of, set_up_logs

    set_up_logs(settings.log_level, settings.log_format)
    log = structlog.get_logger()
    for sentence in misspelled_in_environment():
        log.warning("environment", warning=sentence)
    from consumer import app

    try:
        (app.run if name == "run" else app.serve)(settings, stop.stopping)
    except ReaderError as error:
        log.error("stopped_by_error", error=str(error), kind=type(error).__name__)
        raise typer.Exit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_FAILED) from None
    except Exception as error:
        log.error("stopped_by_bug", error=type(error).__name__, frames=frames_of(error))
        raise typer.Exit(EXIT_FAILED) from None
