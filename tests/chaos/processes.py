"""Members as processes of their own, to be killed, stopped and frozen."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from consumer.settings import Settings

REPOSITORY = Path(__file__).parent.parent.parent


def environment(settings: Settings, **extra: str) -> dict[str, str]:
    """The environment that gives a process these settings."""
    fields = {name.upper(): _written(getattr(settings, name)) for name in settings.model_fields_set}
    return os.environ | fields | {"LOG_FORMAT": "json", "PYTHONPATH": str(REPOSITORY)} | extra


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


class MemberProcess:
    """One `moderate run`; its log is appended to `log_path` over all its starts.

    `model` runs the bundled model instead of one that needs no start-up. `env` are further environment variables.
    `ended_s` is when its last end was noticed, on the monotonic clock.
    """

    def __init__(self, settings: Settings, log_path: Path, *, model: bool = False, **env: str) -> None:
        self.log_path = log_path
        self.name = log_path.stem
        self._command = [sys.executable, "-m", *(("consumer", "run") if model else ("tests.chaos.member",))]
        self._env = environment(settings, **env)
        self._log_begins = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.ended_s = math.inf
        self.starts = 0

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> "MemberProcess":
        """Start it (again)."""
        assert not self.running, f"{self.name} runs already"
        self.starts += 1
        self._log_begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            # A session of its own: nothing the terminal sends may freeze, wake or end it, only the scenario does.
            self._process = subprocess.Popen(
                self._command, env=self._env, stderr=log, cwd=self.log_path.parent, start_new_session=True
            )
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)
        self.wait(30)

    def kill_if_running(self) -> None:
        """SIGKILL, at the end of everything."""
        if self.running:
            self.kill()

    def terminate(self, timeout_s: float = 60) -> int:
        """SIGTERM; returns the exit status, or -1 when it had not ended within `timeout_s` and was killed."""
        self._signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; returns the exit status, or -1 when it was still there and had to be killed."""
        assert self._process is not None, "it was never started"
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return -1
        finally:
            self.ended_s = time.monotonic()

    def wait_assigned(self, timeout_s: float = 60, at_least: int = 1) -> bool:
        """Wait until it holds so many partitions, by its log; False when it died or did not in time."""
        return self._wait_until(lambda events: len(_held(events)) >= at_least, timeout_s)

    def wait_for_event(self, *names: str, timeout_s: float = 60, after_s: float = 0.0) -> bool:
        """Wait for a log line with one of these names, written since the last start and after that moment."""
        return self._wait_until(
            lambda events: any(event["event"] in names and event["at_s"] > after_s for event in events), timeout_s
        )

    def _wait_until(self, holds: Callable[[list[dict[str, Any]]], bool], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while True:
            running = self.running
            if holds(self.events(since_start=True)):
                return True
            if not running or time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)

    def events(self, *, since_start: bool = False) -> list[dict[str, Any]]:
        """Its log lines; `at_s` is when each was written, on the monotonic clock."""
        if not self.log_path.exists():
            return []
        with self.log_path.open("rb") as log:
            log.seek(self._log_begins if since_start else 0)
            return [event for line in log.read().splitlines() if (event := _event(line))]

    def output(self) -> str:
        """Its whole log as text."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def last_words(self) -> str:
        """The end of its log, for a report."""
        return f"the end of its log: {self.output()[-600:].strip()}"

    def rss_kb(self) -> int:
        """Resident memory in KiB."""
        return self._status("VmRSS")

    def threads(self) -> int:
        """Threads of the process."""
        return self._status("Threads")

    def fds(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def _status(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise KeyError(field)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it was never started"
        self._process.send_signal(number)


def _held(events: list[dict[str, Any]]) -> list[str]:
    """The partitions that a member held when it wrote its last line."""
    return next((event["partitions"].split() for event in reversed(events) if "partitions" in event), [])


def _event(line: bytes) -> dict[str, Any] | None:
    """A log line as a mapping; None for one that is cut off or was not written by our logs (a crash's traceback)."""
    try:
        event: dict[str, Any] = json.loads(line)
        written_s = datetime.fromisoformat(event["timestamp"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None
    return event | {"at_s": written_s - time.time() + time.monotonic()}
