"""The member that is measured: `moderate run` in a process of its own, on an embedded broker and cache."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from consumer.cache.embedded import embedded_cache
from consumer.errors import ReaderError
from consumer.kafka.embedded import FETCH_WAIT_MAX_MS, embedded_broker
from consumer.settings import Settings
from consumer.settings_parsing import load_settings

STOP_TIMEOUT_S = 60.0
BYTES_PER_KIB = 1_024

NEEDS_NO_NETWORK = {
    "kafka_security_protocol": "PLAINTEXT",
    "kafka_sasl_mechanism": "",
    "kafka_sasl_oauth_hook": "",
    "kafka_group_protocol": "classic",
    "kafka_auto_offset_reset": "earliest",
    "kafka_extra_config": json.dumps({"fetch.wait.max.ms": FETCH_WAIT_MAX_MS}),
    "delivery": "at-least-once",
    "dead_letter_pause": "false",
    "http_port": "0",
    "tracing": "false",
    "log_level": "info",
    "log_format": "json",
}
"""What the embedded broker needs; all the rest, the model above all, is as the person has set it."""


class BenchError(ReaderError):
    """Nothing could be measured; the message says why."""


class MemoryUse(NamedTuple):
    """Resident memory of a process in bytes: now, and the most it ever had."""

    now_bytes: int
    most_bytes: int


class BenchMember:
    """One running member; `settings` are those it runs with, which its clients need too."""

    def __init__(self, settings: Settings, process: "subprocess.Popen[bytes]", log: Path, cache_kind: str) -> None:
        self.settings = settings
        self.cache_kind = cache_kind
        self._process = process
        self._log = log

    def raise_if_dead(self) -> None:
        """Raise `BenchError` with the member's own last words when it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"the member that was to be measured ended by itself: {self._last_words()}")

    def memory(self) -> MemoryUse | None:
        """Its memory; None where the system does not show it in /proc."""
        path = Path(f"/proc/{self._process.pid}/status")
        if not path.exists():
            return None
        fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
        now_kib, most_kib = (int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return MemoryUse(now_kib * BYTES_PER_KIB, most_kib * BYTES_PER_KIB)

    def stop(self) -> None:
        """End it, by force when it does not end by itself."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        try:
            return str(json.loads(lines[-1])["error"])
        except (IndexError, KeyError, ValueError):
            return lines[-1] if lines else f"exit status {self._process.returncode}, and no log line"


@contextmanager
def bench_member() -> Iterator[BenchMember]:
    """Start a member that is still loading its model, with all that it needs, until the context ends."""
    topics = load_settings()
    with ExitStack() as stack:
        names = [topics.input_topic, topics.results_topic, topics.dead_letter_topic]
        bootstrap = stack.enter_context(embedded_broker(names))
        cache = stack.enter_context(embedded_cache())
        ours = NEEDS_NO_NETWORK | {"kafka_bootstrap_servers": bootstrap}
        ours |= {"redis_url": cache.url, "cache_secret": token_hex()}
        settings = load_settings(**ours)
        log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moderate-bench-"))) / "member.log"
        # A secret may not be given twice: no file may name another Redis, or its secret.
        no_files = {"REDIS_URL_FILE": "", "CACHE_SECRET_FILE": ""}
        env = os.environ | {name.upper(): value for name, value in ours.items()} | no_files
        # Its own session: Ctrl-C ends the measuring, which then ends the member.
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "consumer", "run"], env=env, stderr=stream, start_new_session=True
            )
        member = BenchMember(settings, process, log, cache.kind)
        stack.callback(member.stop)
        yield member
