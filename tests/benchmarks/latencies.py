"""Section "latency": how soon one comment is answered, what load does to that, and what memory the stream takes."""

import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median

from consumer.terminal.bench_client import bench_client
from consumer.terminal.bench_figures import measured
from consumer.terminal.bench_member import BenchMember
from consumer.terminal.bench_stream import Level, hold, join, saturate
from consumer.terminal.bench_texts import unique_texts
from tests.benchmarks import corpus
from tests.benchmarks.contenders import lane, member_settings, ours, peer, running
from tests.benchmarks.engine_process import EngineProcess
from tests.benchmarks.engines import CALL_SIZES, LIMITS, OURS, started
from tests.benchmarks.environments import python_of
from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.sampling import Figure, Point, Reach, Run, in_turns, ratio
from tests.benchmarks.single import SingleClient, single_client

SINGLES = 16
"""Comments sent one by one in each turn."""
PAUSE_MS = 10
"""About as long as the model of an idle stream rests while a result is read and the next comment comes. A forward pass
after it takes longer than one after another: its weights, and the code around it, have left the caches."""
LOADS = (0.5, 0.7, 0.9)
TOLD_LOAD = 0.7
LEVEL_S, QUICK_LEVEL_S = 20.0, 5.0
MOST_LEVEL_ROUNDS = 3
WINDOWS = 3
ENGINE_TEXTS = 2_048
BYTES_PER_MB = 1e6
PLOT = "Latency by offered load"
PASSTHROUGH = "passthrough"


def run(told: Run) -> list[Figure]:
    """An idle member; then one under load, and its memory against that of the engine alone."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as directory, rig(Path(directory)) as here:
        return [*idle(here, told), *loaded(here, told)]


def idle(here: Rig, told: Run) -> list[Figure]:
    """One comment at a time, from before it is sent until its result is read: through our stream, and through one that
    only passes on. The forward pass alone has the same texts; so that they can be sent again, no answer is kept."""
    lanes = {name: lane(here, here.topic("comments")) for name in (OURS, PASSTHROUGH)}
    passthrough = peer("raw_passthrough", python_of("raw_passthrough"))
    texts = corpus.unique(SINGLES)
    with (
        running(here, OURS, ours(CACHE_MEMORY_ENTRIES="0")(lanes[OURS])) as member,
        running(here, PASSTHROUGH, passthrough(lanes[PASSTHROUGH])) as other,
        single_client(lanes[OURS], member) as through_us,
        single_client(lanes[PASSTHROUGH], other) as through_nothing,
        started(LIMITS, told, texts) as limits,
    ):
        turns = {
            OURS: partial(_mean_ms, through_us, texts),
            PASSTHROUGH: partial(_mean_ms, through_nothing, texts),
            **{name: partial(_bare_ms, bare) for name, bare in limits.items()},
            **{_paused(name): partial(_bare_ms, bare, PAUSE_MS) for name, bare in limits.items()},
        }
        in_turns(turns, 1)  # warms up: every shape was seen once
        times = in_turns(turns, 2 * told.rounds)
    fastest = min(limits, key=lambda name: median(times[name]))
    return [
        *(Figure(f"idle: {name}", "ms", measured(values)) for name, values in times.items()),
        Figure(
            "idle latency ÷ (bare forward + passthrough)",
            "ratio",
            ratio(times[OURS], _sums(times[fastest], times[PASSTHROUGH])),
            Reach(2.0, 1.3),
        ),
        Figure(
            f"… ÷ (bare forward after {PAUSE_MS} ms of rest + passthrough)",
            "ratio",
            ratio(times[OURS], _sums(times[_paused(fastest)], times[PASSTHROUGH])),
        ),
    ]


def loaded(here: Rig, told: Run) -> list[Figure]:
    """How latency grows with the rate of comments, which come whenever they like (a Poisson process)."""
    where = lane(here, here.topic("comments"))
    settings = member_settings(where)
    texts = unique_texts(corpus.SEED)
    seconds = QUICK_LEVEL_S if told.quick else LEVEL_S
    with running(here, OURS, ours()(where)) as process, bench_client(settings) as client:
        member = BenchMember(settings, process.process, process.log, "memory only")
        join(client, member, next(texts))
        levels: dict[float, list[Level]] = {load: [] for load in LOADS}
        for round_number in range(min(told.rounds, MOST_LEVEL_ROUNDS)):
            # Anew in every round: on a machine that slows down, what was 70 % of it can be more than it can.
            capacity = saturate(client, member, texts, warm_up_comments=0, windows=WINDOWS, seconds_each=seconds / 4)
            for load, found in levels.items():
                rate_per_s = load * capacity.median
                found.append(hold(client, member, texts, rate_per_s, seconds, seed=round_number))
        return [*_level_figures(levels), _spread(levels[TOLD_LOAD]), _memory(told, process.process.pid)]


def _spread(levels: Sequence[Level]) -> Figure:
    """Where p50 is near p99 and both are long, the load was above what could be done: the note tells."""
    ratios = measured([level.latency.p99_ms / level.latency.p50_ms for level in levels])
    p50_ms, p99_ms = (median(getattr(level.latency, name) for level in levels) for name in ("p50_ms", "p99_ms"))
    note = (
        f"p50 {p50_ms:,.0f} ms, p99 {p99_ms:,.0f} ms at {median(level.rate_per_s for level in levels):,.0f} comments/s"
    )
    return Figure(f"p99 ÷ p50 at {TOLD_LOAD:.0%} load", "ratio", ratios, Reach(4, 2.5), note)


def _level_figures(levels: Mapping[float, Sequence[Level]]) -> Iterator[Figure]:
    for load, found in levels.items():
        for percentile in ("p50", "p90", "p99"):
            value = measured([getattr(level.latency, f"{percentile}_ms") for level in found])
            point = Point(PLOT, percentile, load * 100, "% of the capacity")
            yield Figure(f"{percentile} at {load:.0%} load", "ms", value, point=point)


def _memory(told: Run, member_pid: int) -> Figure:
    """Of the member that has just been under load, against an engine alone that had as many texts in one call, and
    some in calls of other sizes: what is prepared for each shape of a pass stays in memory."""
    with started((OURS,), told, corpus.unique(ENGINE_TEXTS)) as engines:
        for size in CALL_SIZES:
            engines[OURS].texts_per_s(size)
        above = _resident_mb(member_pid) - _resident_mb(engines[OURS].pid)
    return Figure("resident memory above the bare engine's", "MB", measured([above]), Reach(150, 80))


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / BYTES_PER_MB


def _mean_ms(client: SingleClient, texts: Sequence[str]) -> float:
    """The mean: what is taken together, pass and passing on, must add up."""
    return 1_000 * fmean(client.seconds(text) for text in texts)


def _bare_ms(bare: EngineProcess, pause_ms: int = 0) -> float:
    return 1_000 / bare.texts_per_s(1, pause_ms)


def _paused(name: str) -> str:
    return f"{name} after {PAUSE_MS} ms of rest"


def _sums(some: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one + other for one, other in zip(some, others, strict=True)]
