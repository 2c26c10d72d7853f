"""What a person is told on standard error: warnings, and how a command that failed ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.text import Text

from consumer.errors import ReaderError
from consumer.settings_parsing import SettingsError
from consumer.terminal.printing import SafeConsole
from consumer.terminal.text import printable

EXIT_FAILED, EXIT_USAGE = 1, 2


def require_brokers(bootstrap_servers: str) -> None:
    """Raise `SettingsError` unless brokers are set."""
    if not bootstrap_servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is empty; set it to your brokers, for example localhost:9092.")


def complain(sentence: str) -> None:
    """Print an error on standard error."""
    SafeConsole(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), printable(sentence)))


@contextmanager
def readable_errors(failed: int = EXIT_FAILED) -> Iterator[None]:
    """Errors that are for the reader become one sentence and an exit status, `failed` unless a setting is at fault;
    anything else keeps its traceback. Standard output is for results alone: of the log, warnings go to standard error.
    """
    from consumer.telemetry.logs import set_up_logs  # 0.1 s that `--help` need not wait for

    set_up_logs("warning", "console")
    try:
        yield
    except SettingsError as error:
        for sentence in str(error).splitlines():
            complain(sentence)
        raise typer.Exit(EXIT_USAGE) from None
    except ReaderError as error:
        complain(str(error))
        raise typer.Exit(failed) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_FAILED) from None
