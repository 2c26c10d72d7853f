"""An embedded cache for the demo, on loopback TCP: redis-server where it is installed, else fakeredis."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Literal, NamedTuple

import fakeredis
import redis

from consumer.errors import ReaderError

START_TIMEOUT_S = 10.0

WATCHED_SERVER = 'redis-server "$@" </dev/null >/dev/null 2>&1 & read -r _; kill -9 $!; rmdir "$PWD"'
"""Runs redis-server until standard input ends, as it does when the parent dies, however it dies; leaves nothing."""


class EmbeddedCache(NamedTuple):
    """Where it is, and what it is."""

    url: str
    kind: Literal["redis-server", "fakeredis"]


@contextmanager
def embedded_cache() -> Iterator[EmbeddedCache]:
    """Run a cache for as long as the context lasts; raises ReaderError when redis-server does not start."""
    if shutil.which("redis-server"):
        with _redis_server() as url:
            yield EmbeddedCache(url, "redis-server")
    else:
        with _fakeredis_server() as url:
            yield EmbeddedCache(url, "fakeredis")


@contextmanager
def _redis_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="moderate-cache-", ignore_cleanup_errors=True) as directory:
        port = free_port()
        settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = ["/bin/sh", "-c", WATCHED_SERVER, "sh", *settings]
        # Its own session: Ctrl-C ends the demo, and the demo ends the server when it has drained.
        server = subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        try:
            _wait_until_it_answers(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.communicate()


@contextmanager
def _fakeredis_server() -> Iterator[str]:
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="fakeredis", daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_it_answers(port: int) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    with redis.Redis(host="127.0.0.1", port=port, socket_timeout=START_TIMEOUT_S) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline_s:
                    raise ReaderError(
                        f"redis-server did not answer within {START_TIMEOUT_S:g} s; try `redis-server --port {port}` "
                        "to see why, or set REDIS_URL to a Redis of yours."
                    ) from None
                time.sleep(0.02)
            else:
                return
