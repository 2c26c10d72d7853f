"""How many connections may be open, and which one goes first when there is no room for another."""

import asyncio
import errno
import resource
import time
from typing import Any, Protocol

import structlog

from consumer.settings_parsing import SettingsError
from consumer.telemetry.logs import frames_of

log = structlog.get_logger()

RESERVED = 32
"""Connections beyond HTTP_MAX_CONNECTIONS, for health and metrics alone."""
BACKLOG = 128
"""Connections that the system accepts for this process before the process does, and that it then takes all at once."""
OTHER_DESCRIPTORS = 160
"""Files, brokers, Redis, downloads: a member had 50 open with its broker in the same process, `moderate serve` 8."""
LEAST_CONNECTIONS = 16
SAY_AGAIN_S = 60.0
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connection(Protocol):
    """What is known of a connection here."""

    @property
    def idle(self) -> bool:
        """Whether no request of it is being answered."""
        ...

    @property
    def held_up(self) -> bool:
        """Whether its caller is waited for: to send a body, or to read an answer."""
        ...

    def drop(self) -> None:
        """End it at once."""
        ...


def connections_that_fit(wanted: int) -> int:
    """As many of the `wanted` connections as the limit of open files leaves room for; says so where they are fewer.

    Raises `SettingsError` where it leaves room for next to none.
    """
    beside = RESERVED + BACKLOG + OTHER_DESCRIPTORS
    soft = _open_files_for(wanted + beside)
    if soft == resource.RLIM_INFINITY or soft >= wanted + beside:
        return wanted
    if soft < LEAST_CONNECTIONS + beside:
        raise SettingsError(
            f"This process may open {soft} files (`ulimit -n`), and the HTTP server needs "
            f"{LEAST_CONNECTIONS + beside} at least; raise that limit."
        )
    log.warning(
        "http_connections_lowered",
        limit=soft - beside,
        HTTP_MAX_CONNECTIONS=wanted,
        warning=f"This process may open {soft} files (ulimit -n); raise that limit to {wanted + beside}.",
    )
    return soft - beside


def _open_files_for(needed: int) -> int:
    """How many files this process may open, after its own limit was raised to what is needed; macOS begins with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised


class Room:
    """Knows the open connections. Owned by the event loop's thread.

    Where there is no room, the connection goes that has been idle for longest; then the oldest one whose caller is
    waited for. Where all are being worked for, another one may ask for health and metrics alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[Connection, None] = {}
        self._reserve: dict[Connection, None] = {}
        self._said_at_s: dict[str, float] = {}

    def enter(self, connection: Connection) -> bool:
        """Whether the new `connection` may ask for anything; else only for health and metrics."""
        if len(self._taken) < self._limit or self._make_room():
            self._taken[connection] = None
            return True
        if len(self._reserve) >= RESERVED:
            self._drop(next(iter(self._reserve)))
        self._reserve[connection] = None
        return False

    def answered(self, connection: Connection) -> None:
        """It is idle from now on."""
        if connection in self._taken:
            del self._taken[connection]  # and to the end: the first of them has been idle for longest
            self._taken[connection] = None

    def leave(self, connection: Connection) -> None:
        """It is closed."""
        self._taken.pop(connection, None)
        self._reserve.pop(connection, None)

    def on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler. Without descriptors asyncio tries to accept 128 times a second."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
            self._make_room()
            self._say(
                "http_out_of_descriptors",
                connections=len(self._taken) + len(self._reserve),
                warning="No more files can be opened, so callers wait; raise `ulimit -n`, or find what holds them.",
            )
        else:
            frames = frames_of(error) if error else ""
            self._say("http_loop_error", error=type(error).__name__, what=context["message"], frames=frames)

    def _make_room(self) -> bool:
        """Drop the connection that is missed least."""
        found = next((one for one in self._taken if one.idle), None) or next(
            (one for one in self._taken if one.held_up), None
        )
        self._say(
            "http_connections_full",
            limit=self._limit,
            meaning="idle connections are closed" if found else "new ones are refused (503), but for health",
        )
        if found:
            self._drop(found)
        return found is not None

    def _drop(self, connection: Connection) -> None:
        self.leave(connection)
        connection.drop()

    def _say(self, event: str, **fields: object) -> None:
        now_s = time.monotonic()
        if now_s - self._said_at_s.get(event, -SAY_AGAIN_S) >= SAY_AGAIN_S:
            self._said_at_s[event] = now_s
            log.warning(event, **fields)
