"""What the load row is made of: a flow whose rate can be changed, HTTP callers, and an eye on the member."""

import json
import math
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from statistics import linear_regression
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from consumer.settings import Settings
from consumer.telemetry.metric_defs import HTTP_WAITING, LAG
from consumer.terminal.bench_texts import unique_texts
from tests.chaos.flow import Flow
from tests.chaos.processes import REPOSITORY, MemberProcess

EVERY_S = 1.0
ANSWERS_WITHIN_S = 5.0
"""What a probe of Kubernetes would wait at least once in a while; the default is 1 s, three times in a row."""
PATHS = ("healthz", "readyz", "metrics")


class SteeredFlow(Flow):
    """A flow of texts that are all new, at `rate_per_s`, which may be changed at any time; `math.inf` keeps as many on
    their way as `most_waiting`, of those that `waiting` counts. `sent_s` is when each was due.
    """

    def __init__(self, settings: Settings, seed: int, waiting: Callable[[], int], most_waiting: int) -> None:
        texts = unique_texts(seed)
        super().__init__(settings, 0.0, keys=1_000, text=lambda _number: next(texts))
        self.rate_per_s = 0.0
        self.sent_s: list[float] = []
        self._waiting = waiting
        self._most_waiting = most_waiting

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopping.is_set():
            now_s, rate_per_s = time.monotonic(), self.rate_per_s
            if rate_per_s in (0.0, math.inf):
                due_s = now_s
            while rate_per_s == math.inf and self._waiting() < self._most_waiting:
                self._send_due(now_s)
            while due_s < now_s:
                self._send_due(due_s)
                due_s += 1 / rate_per_s
            self._producer.poll(0.005)

    def _send_due(self, due_s: float) -> None:
        self.sent_s.append(due_s)
        self._send(self.sent)
        self.sent += 1


class HttpFigures(NamedTuple):
    """What HTTP callers were told: how often each status or error, how long the good answers and the refusals took, and
    how long all of it, up to the last answer."""

    took_s: float
    statuses: dict[str, int]
    answered_s: list[float]
    refused_s: list[float]
    without_retry_after: int
    late_p99_ms: float


class HttpCallers:
    """A process of callers, which has begun; `how` is `--rate N` or `--callers N`."""

    def __init__(self, port: int, seconds: float, seed: int, *how: str) -> None:
        command = [sys.executable, "-m", "tests.chaos.load_client", str(port), "--seconds", str(seconds)]
        self._process = subprocess.Popen(
            [*command, "--seed", str(seed), *how], stdout=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True
        )

    def figures(self) -> HttpFigures:
        """Wait for its end, and say what it saw."""
        said, _ = self._process.communicate()
        assert self._process.returncode == 0, "the HTTP callers failed; their traceback is above"
        return HttpFigures(**json.loads(said))

    def kill(self) -> None:
        """End it, at the end of everything."""
        self._process.kill()
        self._process.wait()


class Look(NamedTuple):
    """One look at the member: its resident memory, how many texts wait at HTTP, and how many records in Kafka."""

    at_s: float
    rss_kb: int
    http_waiting: float
    lag: float


class Watch:
    """Looks at the member every second, by its HTTP server, until it is stopped; `problems` are answers that were late,
    missing, or not 200."""

    def __init__(self, member: MemberProcess, port: int) -> None:
        self.looks: list[Look] = []
        self.problems: list[str] = []
        self.slowest_s = 0.0
        self._member = member
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()

    def since(self, at_s: float) -> list[Look]:
        """The looks from this moment on."""
        return [look for look in self.looks if look.at_s >= at_s]

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                metrics = [self._get(path) for path in PATHS][-1]
                self.looks.append(_look(metrics, self._member.rss_kb()))
            except (OSError, KeyError) as error:
                self.problems.append(f"/{'|'.join(PATHS)}: {type(error).__name__}: {error}")

    def _get(self, path: str) -> str:
        began_s = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=ANSWERS_WITHIN_S) as answer:
            body: bytes = answer.read()
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        return body.decode()


def _look(metrics: str, rss_kb: int) -> Look:
    sums = {HTTP_WAITING.name: 0.0, LAG.name: 0.0}
    for family in text_string_to_metric_families(metrics):
        if family.name in sums:
            sums[family.name] = sum(sample.value for sample in family.samples)
    return Look(time.monotonic(), rss_kb, sums[HTTP_WAITING.name], sums[LAG.name])


def growth_kb(looks: Iterable[Look]) -> float:
    """How much resident memory grew over these looks, by the slope through them."""
    found = list(looks)
    slope = linear_regression([look.at_s for look in found], [look.rss_kb for look in found]).slope
    return slope * (found[-1].at_s - found[0].at_s)
