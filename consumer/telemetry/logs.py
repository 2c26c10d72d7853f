"""structlog for our own events and for the libraries': readable on a terminal, JSON elsewhere; never a comment's text,
never a secret."""

import logging
import sys
import traceback
from io import StringIO
from typing import Literal, TextIO

import structlog

_process_context: dict[str, object] = {}
"""What every line of this process carries: group, member, partitions. Threads share it, unlike contextvars."""


def bind_process(**fields: object) -> None:
    """Add fields to every log line of this process from now on."""
    _process_context.update(fields)


def _merge_process_context(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {**_process_context, **event}


def _visible(text: str, kept: str = "") -> str:
    """The text without what a terminal obeys: a broker's error, a name from a file, a header may hold anything."""
    return "".join(c if c.isprintable() or c in kept else f"\\u{ord(c):04x}" for c in text)


def _visible_fields(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: _visible(value) if isinstance(value, str) else value for name, value in event.items()}


def _visible_traceback(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, error)  # the default shows variables: texts, secrets
    stream.write(_visible(text.getvalue(), kept="\n\t"))


def frames_of(error: BaseException) -> str:
    """Where an error came from, without its message and without variables, which may hold a comment or a secret."""
    return "".join(traceback.format_tb(error.__traceback__))


_SHARED: list[structlog.typing.Processor] = [
    _merge_process_context,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.stdlib.filter_by_level,
    *_SHARED,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
"""One list for the process: a logger keeps the one that it was first used with."""


def set_up_logs(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send every log line of this process to stderr in one form."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=_visible_traceback,
        )
        if console
        else structlog.processors.JSONRenderer()
    )
    tail: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    tail.insert(1, _visible_fields if console else structlog.processors.format_exc_info)
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=tail))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("urllib3", "huggingface_hub", "transformers", "filelock", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
