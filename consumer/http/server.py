"""Runs the HTTP server in a thread beside the stream."""

import asyncio
import logging
import math
import socket
import time
from contextlib import ExitStack
from functools import partial
from threading import Thread

import structlog
import uvicorn

from consumer.http.api import make_app
from consumer.http.connections import KEEP_ALIVE_S, protocol_in
from consumer.http.listening import is_loopback, listen
from consumer.http.room import BACKLOG, Room, connections_that_fit
from consumer.services import Services
from consumer.settings import Settings
from consumer.telemetry.logs import frames_of

log = structlog.get_logger()

POLL_S = 0.01
LEAST_TOKEN = 16
"""Characters; 64 bits where it is hexadecimal."""
CLOSE_MARGIN_S = 5.0
"""For cancelling what is still unanswered after SHUTDOWN_TIMEOUT_S."""


def open_server(settings: Settings, services: Services, stack: ExitStack) -> None:
    """Listen on HTTP_HOST and HTTP_PORT until `stack` is closed, or `services.stop_server` is called; returns when
    requests are taken.

    Closing takes no new requests, and waits up to SHUTDOWN_TIMEOUT_S for those that came. Raises `SettingsError` when
    it cannot listen there.
    """
    room = Room(connections_that_fit(settings.http_max_connections))
    listening = listen(settings.http_host, settings.http_port)
    host, port = listening.getsockname()[:2]
    loopback = is_loopback(listening)
    if not loopback:
        _warn_of_token(settings.http_token.get_secret_value())
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(settings, services, loopback=loopback),
            http=protocol_in(room),
            backlog=BACKLOG,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # below it uvicorn logs a line for whatever a port scanner sends
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
        )
    )
    logging.getLogger("uvicorn.error").addFilter(_without_message)
    thread = Thread(target=_run, args=(server, listening, room), name="http", daemon=True)
    thread.start()
    close = partial(_close, server, thread, settings.shutdown_timeout_s)
    stack.callback(close)
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the HTTP server has ended at its start; the log line above says why")
        time.sleep(POLL_S)
    services.server_alive = thread.is_alive
    services.stop_server = close
    log.info("http_listening", host=host, port=port)


def _warn_of_token(token: str) -> None:
    if not token:
        log.warning("http_without_token", warning="HTTP_TOKEN is empty, so texts are refused (403) beyond loopback.")
    elif len(token) < LEAST_TOKEN:
        log.warning(
            "http_token_short",
            warning=f"HTTP_TOKEN has fewer than {LEAST_TOKEN} characters, and other machines can try until they have "
            "it; make one with `openssl rand -hex 32`.",
        )


def _run(server: uvicorn.Server, listening: socket.socket, room: Room) -> None:
    """The thread. uvicorn takes the process's signals on the main thread only, so here it leaves them alone."""

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(room.on_loop_error)
        await server.serve(sockets=[listening])

    try:
        asyncio.run(serve())  # asyncio's own loop, whatever else is installed: the protocol is made for it
    except BaseException as error:
        log.error("http_failed", error=type(error).__name__, frames=frames_of(error))


def _close(server: uvicorn.Server, thread: Thread, timeout_s: float) -> None:
    server.should_exit = True
    thread.join(timeout_s + CLOSE_MARGIN_S)


def _without_message(record: logging.LogRecord) -> bool:
    """Keep an error's type and frames, and drop what it says, which may be a text."""
    if record.exc_info and (error := record.exc_info[1]) is not None:
        record.msg = f"{record.getMessage().strip()}: {type(error).__name__}\n{frames_of(error)}"
        record.args, record.exc_info = (), None
    return True
