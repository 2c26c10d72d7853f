"""Where the time of the stream goes: how long each part works for a comment, by the member's own metrics."""

import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from consumer.cache.embedded import free_port
from consumer.telemetry.metric_defs import COMMENTS_READ, PASS_SECONDS, STAGE
from consumer.terminal.bench_figures import measured
from tests.benchmarks.contenders import Running, lane, ours, running
from tests.benchmarks.rig import STARTED_WITHIN_S, Rig
from tests.benchmarks.sampling import Figure, Point
from tests.benchmarks.table import number
from tests.waiting import wait_until

PLOT = "Where the time of the stream goes"
MODEL = "model"


class Counts(NamedTuple):
    """What a member has counted since it started, and when (monotonic clock). The classify stage is not among the
    parts: it waits for the model."""

    at_s: float
    comments: float
    seconds: Mapping[str, float]


def stage_times(here: Rig, name: str, comments: str, warm_up: int, seconds: float) -> list[Figure]:
    """The share of each part in the time that a comment of the topic `comments` takes, and for how much of the time
    the model ran. The parts work at the same time, so a comment's sum is more than what it holds up the stream for."""
    port = free_port()
    where = lane(here, comments)
    with running(here, f"stages {name}", ours(HTTP_PORT=str(port))(where)) as member:

        def warm() -> bool:
            member.raise_if_dead()
            return here.look(where.output).results > warm_up

        wait_until(warm, STARTED_WITHIN_S)
        before, after = _counts(port), _after(member, port, seconds)
    done = after.comments - before.comments
    each_us = {part: 1e6 * (after.seconds[part] - before.seconds[part]) / done for part in after.seconds}
    total_us = sum(each_us.values())
    told = ", ".join(f"{part} {number(us)}" for part, us in each_us.items())
    bar = f"{name}: {number(total_us)} µs a comment"
    ran = 100 * (after.seconds[MODEL] - before.seconds[MODEL]) / (after.at_s - before.at_s)
    return [
        Figure(f"{name}: stages", "µs a comment", measured([total_us]), note=told),
        Figure(f"{name}: the model ran", "% of the time", measured([ran])),
        *_segments(bar, each_us, total_us),
    ]


def _segments(bar: str, each_us: Mapping[str, float], total_us: float) -> Iterator[Figure]:
    for part, us in each_us.items():
        yield Figure(part, "% of the time", measured([100 * us / total_us]), point=Point(PLOT, part, bar, ""))


def _after(member: Running, port: int, seconds: float) -> Counts:
    time.sleep(seconds)
    member.raise_if_dead()
    return _counts(port)


def _counts(port: int) -> Counts:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=STARTED_WITHIN_S) as answer:
        return counts(answer.read().decode(), time.monotonic())


def counts(metrics: str, at_s: float) -> Counts:
    """What /metrics said: the comments, and the seconds of each part."""
    values = {
        (sample.name, sample.labels.get("stage", "")): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    seconds = {
        "prepare": values[f"{STAGE.name}_sum", "prepare"],
        MODEL: values[f"{PASS_SECONDS.name}_sum", ""],
        "publish": values[f"{STAGE.name}_sum", "publish"],
    }
    return Counts(at_s, values[COMMENTS_READ.name, ""], seconds)
