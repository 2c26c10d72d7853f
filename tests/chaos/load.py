"""HTTP callers and the stream at once: 80 % of the capacity for ten minutes, then three times the capacity, then rest.

`--rounds N` holds the 80 % for N minutes instead, and takes as much less or more for the rest. Leave the machine alone
meanwhile: what others take of it changes the capacity, and what was 80 % of it becomes too much.
"""

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from consumer.cache.embedded import free_port
from consumer.kafka.embedded import FETCH_WAIT_MAX_MS, embedded_broker
from consumer.kafka.lag import ASK_EVERY_S
from consumer.micro_batcher import TURN_TEXTS
from consumer.settings import Settings
from consumer.terminal.bench_figures import Latency, latency
from tests.brokers import require_apache_kafka
from tests.chaos.flow import Seen
from tests.chaos.load_parts import HttpCallers, HttpFigures, SteeredFlow, Watch, growth_kb
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import Options, Scene, judge, main, scene
from tests.redis_server import running_redis

TITLE = "80 % of the capacity on HTTP and the stream together, then 300 %, then rest"
MUST_HOLD = (
    "at 80 %: no error, none lost or double, memory flat; at 300 %: 429 with Retry-After and lag, no other error, "
    "bounded memory, health and metrics answer; then lag 0 and the latency of before, without a restart"
)

CALLERS = TURN_TEXTS
"""Who keep the model as busy as one turn of the micro-batcher can make it."""
BATCH_RECORDS = 256
MOST_WAITING = 5 * BATCH_RECORDS
"""A member holds four batches: one at each stage and one in front of the model."""
HELD_SHARE, FLOOD_SHARE = 0.8, 3.0
WARM_UP_SHARE = 0.5
"""Of the time at 80 %: memory grows while every length of text comes for the first time."""
MOST_GROWTH_SHARE = 0.05
MOST_FLOOD_GROWTH_KB = 400_000
"""What 16 MB of prefetch, a thousand waiting callers and their connections may take, and the allocator's slack."""
COMES_BACK_WITHIN_S = 1_200.0
SLOWER_BY, SLOWER_BY_MS = 3.0, 250.0


class Times(NamedTuple):
    """Seconds of each part."""

    capacity: float
    held: float
    flood: float
    again: float


FULL, SHORT = Times(60, 600, 180, 60), Times(5, 8, ASK_EVERY_S + 2, 4)
"""A flood is longer than the time between two questions for the lag, and some until it is looked at."""
ROOM = {"http_max_connections": 4_096}
"""For a connection of each caller: this row is about whom the model is asked for, and not about how many connect."""
SHORT_LIMITS = {"http_max_waiting_texts": 256, "http_timeout_ms": 60_000}
"""So that callers are refused within seconds, and nobody waits in vain on a machine that is slow just then."""


@dataclass
class Load:
    """All that takes part; `seeds` makes the texts of each part new."""

    member: MemberProcess
    flow: SteeredFlow
    seen: Seen
    watch: Watch
    port: int
    stack: ExitStack
    seeds: Iterator[int]

    def callers(self, seconds: float, *how: str) -> HttpCallers:
        """HTTP callers who have begun, and are gone at the end."""
        started = HttpCallers(self.port, seconds, next(self.seeds), *how)
        self.stack.callback(started.kill)
        return started

    def both(self, rate_per_s: float, seconds: float) -> tuple[HttpFigures, range]:
        """Half of the rate from HTTP callers, half on the stream; returns what the first saw, and the numbers of the
        second."""
        first = self.flow.sent
        callers = self.callers(seconds, "--rate", str(rate_per_s / 2))
        self.flow.rate_per_s = rate_per_s / 2
        time.sleep(seconds)
        self.flow.rate_per_s = 0.0
        return callers.figures(), range(first, self.flow.sent)

    def stream_latency(self, numbers: range) -> Latency:
        """From the moment each was due until its result was read; all of them must have come out."""
        arrivals_s = {outcome.number: outcome.arrival_s for outcome in self.seen.outcomes}
        return latency([arrivals_s[number] - self.flow.sent_s[number] for number in numbers])


def run(report: Report, options: Options) -> None:
    """Measure, hold, flood, rest."""
    times = SHORT if options.short else FULL
    if options.rounds:
        times = Times(*(options.rounds * seconds / (FULL.held / 60) for seconds in FULL))
    limits = SHORT_LIMITS if options.short else {}
    with running_redis() as redis, _any_scene(options, redis_url=redis.url, **limits) as here, ExitStack() as stack:
        load = _start(report, here, stack)
        capacity_per_s = _capacity(report, load, times)
        before = _hold(report, load, capacity_per_s, times)
        _flood(report, load, capacity_per_s, times)
        _rest(report, load, capacity_per_s, times, before)
        load.watch.stop()
        report.check(load.member.running and load.member.starts == 1, "the member did not live through it")
        report.missing(*load.watch.problems)
        report.counted(slowest_probe_s=load.watch.slowest_s, most_rss_kb=max(look.rss_kb for look in load.watch.looks))
        judge(report, here, load.flow, load.seen, doubles_allowed=False)


def _start(report: Report, here: Scene, stack: ExitStack) -> Load:
    member = here.member("member", model=True).start()
    report.check(member.wait_assigned(at_least=here.settings.topic_partitions), "the member was given no partitions")
    seen = here.seen()
    flow = SteeredFlow(here.settings, 1, lambda: flow.sent - len(seen.outcomes), MOST_WAITING)
    flow.start()
    stack.callback(flow.stop)
    watch = Watch(member, here.settings.http_port)
    stack.callback(watch.stop)
    return Load(member, flow, seen, watch, here.settings.http_port, stack, iter(range(2, 1_000)))


def _capacity(report: Report, load: Load, times: Times) -> float:
    """Texts per second when both ways always have more; the clients run as they do later."""
    load.flow.rate_per_s = math.inf
    assert load.seen.wait_for(range(BATCH_RECORDS), 300), "the stream does not flow"
    begun, began_s = len(load.seen.outcomes), time.monotonic()
    callers = load.callers(times.capacity, "--callers", str(CALLERS))
    figures = callers.figures()
    on_stream = (len(load.seen.outcomes) - begun) / (time.monotonic() - began_s)
    by_http = len(figures.answered_s) / figures.took_s
    load.flow.rate_per_s = 0.0
    report.check(set(figures.statuses) == {"200"}, f"{CALLERS} callers were told {figures.statuses}")
    report.counted(capacity_per_s=on_stream + by_http, on_stream_per_s=on_stream, by_http_per_s=by_http)
    report.check(load.seen.wait_for(range(load.flow.sent), COMES_BACK_WITHIN_S), "not all came out")
    return on_stream + by_http


def _hold(report: Report, load: Load, capacity_per_s: float, times: Times) -> tuple[Latency, Latency]:
    began_s = time.monotonic()
    http, numbers = load.both(HELD_SHARE * capacity_per_s, times.held)
    ended_s = time.monotonic()
    report.check(load.seen.wait_for(numbers, COMES_BACK_WITHIN_S), "not all came out at 80 %")
    report.check(set(http.statuses) == {"200"}, f"at 80 % callers were told {http.statuses}")
    found = latency(http.answered_s), load.stream_latency(numbers)
    _tell(report, "held", http, *found)
    warm = [look for look in load.watch.since(began_s + WARM_UP_SHARE * times.held) if look.at_s <= ended_s]
    grew_kb = growth_kb(warm)
    report.counted(held_rss_kb=warm[-1].rss_kb, held_growth_kb=grew_kb)
    if times.held >= FULL.held:  # in less time the allocator has not had every length of text yet
        report.check(grew_kb < MOST_GROWTH_SHARE * warm[-1].rss_kb, f"memory grew by {grew_kb:,.0f} KiB at 80 %")
    return found


def _flood(report: Report, load: Load, capacity_per_s: float, times: Times) -> None:
    began_s = time.monotonic()
    rss_before_kb = load.watch.looks[-1].rss_kb
    http, _ = load.both(FLOOD_SHARE * capacity_per_s, times.flood)
    looks = load.watch.since(began_s)
    report.counted(
        flood_statuses=str(http.statuses).replace("'", ""),
        flood_http_p99_ms=latency(http.answered_s).p99_ms,
        refused_p99_ms=latency(http.refused_s or [0.0]).p99_ms,
        most_lag=int(max(look.lag for look in looks)),
        most_http_waiting=int(max(look.http_waiting for look in looks)),
        flood_growth_kb=max(look.rss_kb for look in looks) - rss_before_kb,
    )
    report.check(set(http.statuses) <= {"200", "429"}, f"at 300 % callers were told {http.statuses}")
    report.check(not http.without_retry_after, f"{http.without_retry_after} refusals had no Retry-After")
    report.check(max(look.lag for look in looks) > 0, "the metrics showed no lag at 300 %")
    report.check(http.statuses.get("429"), "no caller was refused at 300 %")
    grew_kb = max(look.rss_kb for look in looks) - rss_before_kb
    report.check(grew_kb < MOST_FLOOD_GROWTH_KB, f"memory grew by {grew_kb:,} KiB at 300 %")


def _rest(report: Report, load: Load, capacity_per_s: float, times: Times, before: tuple[Latency, Latency]) -> None:
    began_s = time.monotonic()
    report.check(load.seen.wait_for(range(load.flow.sent), COMES_BACK_WITHIN_S), "the lag was not worked off")
    report.counted(caught_up_after_s=time.monotonic() - began_s)
    deadline_s = time.monotonic() + 30
    while load.watch.looks[-1].lag and time.monotonic() < deadline_s:
        time.sleep(1)
    report.check(load.watch.looks[-1].lag == 0, f"the metrics still show a lag of {load.watch.looks[-1].lag:.0f}")
    http, numbers = load.both(HELD_SHARE * capacity_per_s, times.again)
    report.check(load.seen.wait_for(numbers, COMES_BACK_WITHIN_S), "not all came out after the flood")
    report.check(set(http.statuses) == {"200"}, f"after the flood callers were told {http.statuses}")
    after = latency(http.answered_s), load.stream_latency(numbers)
    _tell(report, "again", http, *after)
    for way, was, became in zip(("HTTP", "the stream"), before, after, strict=True):
        report.check(
            became.p50_ms <= SLOWER_BY * was.p50_ms + SLOWER_BY_MS,
            f"the latency of {way} did not come back: p50 {became.p50_ms:.0f} ms, before {was.p50_ms:.0f} ms",
        )


def _tell(report: Report, name: str, http: HttpFigures, by_http: Latency, on_stream: Latency) -> None:
    figures: dict[str, float] = {}
    for way, found in (("http", by_http), ("stream", on_stream)):
        figures |= {f"{name}_{way}_p50_ms": found.p50_ms, f"{name}_{way}_p99_ms": found.p99_ms}
    report.counted(**figures, **{f"{name}_texts": by_http.samples + on_stream.samples})
    report.did(f"callers were late by {http.late_p99_ms:.1f} ms at most, but for one in a hundred")


@contextmanager
def _any_scene(options: Options, **fields: object) -> Iterator[Scene]:
    """On Apache Kafka where there is one, else on the embedded broker."""
    ours: dict[str, Any] = {"http_port": free_port(), "max_batch_records": BATCH_RECORDS, **ROOM, **fields}
    try:
        require_apache_kafka()
    except pytest.skip.Exception:
        with _embedded_scene(options, ours) as here:
            yield here
    else:
        with scene(options, **ours) as here:
            yield here


@contextmanager
def _embedded_scene(options: Options, fields: dict[str, Any]) -> Iterator[Scene]:
    topics = {f"{kind}_topic": kind for kind in ("input", "results", "dead_letter", "feedback")}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moderate-chaos-")))
        bootstrap = stack.enter_context(embedded_broker(list(topics.values())))
        ours: dict[str, Any] = {
            "kafka_bootstrap_servers": bootstrap,
            "kafka_group_id": f"group-{uuid4().hex[:8]}",
            "kafka_auto_offset_reset": "earliest",
            "kafka_extra_config": {"fetch.wait.max.ms": FETCH_WAIT_MAX_MS},
            "topic_partitions": 4,
        }
        yield Scene(Settings(_env_file=None, **{**ours, **topics, **fields}), directory, options.plant, stack)


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
