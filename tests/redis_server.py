"""A real redis-server for tests: on a free port, in a directory of its own, and theirs to hurt."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from consumer.cache.embedded import free_port
from tests.services import missing
from tests.waiting import wait_until


class RedisServer:
    """One redis-server; `options` as on its command line, such as `("--maxmemory", "2mb")`."""

    def __init__(self, directory: str, options: tuple[str, ...]) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        quiet = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory)
        self._command = ["redis-server", "--port", str(self.port), *quiet, *options]
        self.start()

    def start(self) -> None:
        """Start (again, on the same port, empty) and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """A plain client to look into it or to spoil it."""
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False
        return True


@contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """A redis-server for as long as the context lasts; skips the test where none is installed."""
    if not shutil.which("redis-server"):
        missing("redis-server is not on the PATH")
    with tempfile.TemporaryDirectory(prefix="moderate-test-") as directory:
        server = RedisServer(directory, options)
        try:
            yield server
        finally:
            server.kill()


def require_tls() -> None:
    """Skip the test where redis-server is built without TLS, or not installed."""
    if shutil.which("redis-server"):
        # Without a port to listen on it ends at once, with or without TLS.
        listens_nowhere = ["redis-server", "--port", "0", "--tls-port", "0"]
        said = subprocess.run(listens_nowhere, capture_output=True, text=True, check=False, timeout=60)
        if "Bad directive" not in said.stdout + said.stderr:
            return
    missing("there is no redis-server with TLS on the PATH")
