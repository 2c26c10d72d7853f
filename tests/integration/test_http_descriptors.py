"""The real process at its limit of open files."""

import json
import os
import resource
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.http.room import BACKLOG, OTHER_DESCRIPTORS, RESERVED
from tests.http_serving import free_port
from tests.waiting import wait_until

# Each starts the real process; the unit tests of the room hold its arithmetic, test_http_connections.py its behaviour.
pytestmark = pytest.mark.slow

CONNECTIONS = 40
LIMIT = CONNECTIONS + RESERVED + BACKLOG + OTHER_DESCRIPTORS


class Process:
    """`moderate serve` that may open few files, with its log in a file."""

    def __init__(self, log: Path, limit: int = LIMIT) -> None:
        self.port = free_port()
        self._log = log
        environment = os.environ | {"HTTP_PORT": str(self.port), "LOG_FORMAT": "json"}
        with log.open("wb") as stream:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "consumer", "serve"],
                env=environment,
                stderr=stream,
                cwd=log.parent,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
            )

    def events(self) -> Counter[str]:
        """How often each event was logged."""
        return Counter(json.loads(line)["event"] for line in self._log.read_text().splitlines())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def healthy(self) -> bool:
        """Whether `/healthz` answers."""
        try:
            with self.connect() as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return connection.recv(1_000).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def may_open(self, files: int) -> None:
        """Change its limit while it runs."""
        resource.prlimit(self.running.pid, resource.RLIMIT_NOFILE, (files, LIMIT))

    def open_files(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.running.pid}/fd").iterdir()))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path / "log")
    try:
        wait_until(lambda: "serving" in started.events(), timeout_s=300)
        yield started
    finally:
        started.running.terminate()
        started.running.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /proc are Linux's")
def test_at_its_limit_of_open_files_it_answers_for_its_health_and_keeps_its_log_small(process: Process) -> None:
    files = process.open_files()
    with ExitStack() as stack:

        def pressed() -> bool:
            stack.enter_context(process.connect())
            return process.events()["http_out_of_descriptors"] == 1

        for _ in range(LIMIT + 100):
            stack.enter_context(process.connect())
        assert process.healthy()
        assert process.open_files() < LIMIT
        assert (process.events()["http_connections_lowered"], process.events()["http_connections_full"]) == (1, 1)
        process.may_open(files + 5)  # somebody else has taken the others
        wait_until(pressed, timeout_s=60)
        wait_until(process.healthy, timeout_s=60)
    wait_until(process.healthy, timeout_s=60)
    process.may_open(LIMIT)
    assert process.healthy()
    assert sum(process.events().values()) < 20, process.events()


def test_without_room_for_connections_it_does_not_start_and_says_why(tmp_path: Path) -> None:
    process = Process(tmp_path / "log", limit=128)
    assert process.running.wait(300) != 0
    assert "This process may open 128 files (`ulimit -n`), and the HTTP server needs" in (tmp_path / "log").read_text()
