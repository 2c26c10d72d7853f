"""`moderate bench` measures a real stream on the embedded broker, and says so when there is nothing to measure."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.kafka.embedded import FETCH_WAIT_MAX_MS, embedded_broker
from consumer.settings import Settings
from consumer.terminal.bench_client import BenchClient, bench_client
from consumer.terminal.bench_member import BenchError, BenchMember
from consumer.terminal.bench_stream import hold, join, saturate
from consumer.terminal.bench_texts import REMEMBERED, unique_texts, with_repeats
from tests.fakes import WordEngine
from tests.stream import member as running_member

SECONDS_PER_TEXT = 0.001
TOPICS = ("comments", "comments.tagged", "comments.dead-letter")
"""The settings' own defaults."""


def process(seconds: float) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])


@pytest.fixture
def settings() -> Iterator[Settings]:
    with embedded_broker(TOPICS) as bootstrap:
        yield Settings(
            _env_file=None,
            kafka_bootstrap_servers=bootstrap,
            kafka_extra_config={"fetch.wait.max.ms": FETCH_WAIT_MAX_MS},
            max_batch_records=32,
        )


@pytest.fixture
def measured_member(settings: Settings, tmp_path: Path) -> Iterator[BenchMember]:
    """A member in a thread, which takes a millisecond a text; the process stands for its own."""
    standing = process(600)
    with running_member(settings, WordEngine(SECONDS_PER_TEXT)):
        yield BenchMember(settings, standing, tmp_path / "member.log", "none")
    standing.kill()
    standing.wait()


@pytest.fixture
def client(settings: Settings) -> Iterator[BenchClient]:
    with bench_client(settings) as sending:
        yield sending


def test_the_stream_is_measured_no_faster_than_its_model_and_repeats_make_it_faster(
    measured_member: BenchMember, client: BenchClient
) -> None:
    texts = unique_texts()
    join(client, measured_member, next(texts))
    new = saturate(client, measured_member, texts, warm_up_comments=0, windows=2, seconds_each=0.5)
    repeated = saturate(
        client,
        measured_member,
        with_repeats(texts, 1.0),
        warm_up_comments=REMEMBERED,
        windows=2,
        seconds_each=0.3,
    )
    assert 0 < new.least <= new.median <= 1.1 / SECONDS_PER_TEXT
    assert repeated.median > new.median
    assert client.record_bytes.result_bytes > client.record_bytes.comment_bytes > 50


def test_at_a_rate_that_it_can_hold_every_comment_comes_out_and_none_is_faster_than_its_text(
    measured_member: BenchMember, client: BenchClient
) -> None:
    texts = unique_texts()
    join(client, measured_member, next(texts))
    level = hold(client, measured_member, texts, rate_per_s=100, seconds=2)
    assert level.held
    assert client.outstanding == 0
    assert 1_000 * SECONDS_PER_TEXT <= level.latency.p50_ms <= level.latency.p90_ms <= level.latency.p99_ms
    assert 100 < level.latency.samples < 220, "four fifths of two seconds at a hundred a second"


def test_a_rate_beyond_the_capacity_shows_as_latency_although_the_sender_never_waits(
    measured_member: BenchMember, client: BenchClient
) -> None:
    texts = unique_texts()
    join(client, measured_member, next(texts))
    level = hold(client, measured_member, texts, rate_per_s=3_000, seconds=1)
    assert client.outstanding == 0
    assert level.latency.p50_ms > 300, "three seconds of work came within one"


def test_a_dead_letter_among_the_texts_stops_the_measuring(measured_member: BenchMember, client: BenchClient) -> None:
    with pytest.raises(BenchError, match="dead letter"):
        join(client, measured_member, "poison")


def test_a_member_that_died_is_reported_with_its_own_last_words(settings: Settings, tmp_path: Path) -> None:
    ended = process(0)
    ended.wait()
    log = tmp_path / "member.log"
    member = BenchMember(settings, ended, log, "none")
    log.write_text('{"event": "x"}\n{"event": "stopped_by_error", "error": "MODEL names no model"}\n')
    with pytest.raises(BenchError, match=r"ended by itself: MODEL names no model"):
        member.raise_if_dead()
    log.write_text("")
    with pytest.raises(BenchError, match="exit status 0, and no log line"):
        member.raise_if_dead()


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "consumer", "bench", "--json", str(tmp_path / "nowhere" / "figures.json")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode == 1
    assert "figures.json cannot be written: No such file or directory" in refused.stderr
    assert "This takes about" not in refused.stderr


@pytest.mark.slow
def test_the_whole_bench_prints_its_figures_and_the_arithmetic_and_writes_them_as_json(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "consumer", "bench", "--quick", "--rate", "50", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert set(figures["engine"]) == {"1", "4", "16", "64", "256"}
    assert all(rate["least"] > 0 for rate in figures["engine"].values())
    (plan,) = figures["plans"]
    capacity = figures["stream"]["0.0"]["median"]
    assert plan["members"] == math.ceil(100 / (0.7 * capacity))
    assert f"50/s × 2 at the peak = 100/s; one member may be used to 70% of {capacity:,.0f}/s" in " ".join(
        done.stdout.split()
    )
    assert figures["memory_idle"]["now_bytes"] > 100_000_000
    assert len(figures["levels"]) == 5
