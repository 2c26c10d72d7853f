"""The real process, started by its command, with the bundled model; comments come from a different client."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from consumer.settings import Settings
from tests.integration.conftest import MakeSettings
from tests.redis_server import running_redis
from tests.stream import committed, subscriber
from tests.waiting import wait_until

COMMAND = [sys.executable, "-m", "consumer"]


QUICK_ON_EMBEDDED = ["embedded", pytest.param("apache", marks=pytest.mark.slow)]
"""Brokers for what takes half a minute on each."""


def environment(settings: Settings, **extra: str) -> dict[str, str]:
    names = ("kafka_bootstrap_servers", "kafka_group_id", "input_topic", "results_topic", "dead_letter_topic")
    fields = {name.upper(): str(getattr(settings, name)) for name in (*names, "feedback_topic")}
    fields["KAFKA_EXTRA_CONFIG"] = json.dumps(settings.kafka_extra_config)
    fields["KAFKA_SESSION_TIMEOUT_MS"] = str(settings.kafka_session_timeout_ms)
    return os.environ | fields | {"LOG_FORMAT": "json", "MAX_BATCH_RECORDS": "64"} | extra


class Process:
    """`moderate run`, with its log in a file."""

    def __init__(self, settings: Settings, log: Path, **extra: str) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*COMMAND, "run"], env=environment(settings, **extra), stderr=stream, cwd=log.parent
            )

    def end(self, number: signal.Signals, timeout_s: float = 60) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


def send(settings: Settings, numbers: range) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, api_version=(2, 5, 0))
    for n in numbers:
        value = json.dumps({"id": f"c-{n}", "text": f"comment number {n} says hello to everyone here"}).encode()
        producer.send(
            settings.input_topic, key=f"k{n % 5}".encode(), value=value, headers=[("number", str(n).encode())]
        )
    producer.flush(30)
    producer.close()


@pytest.mark.parametrize("make_settings", QUICK_ON_EMBEDDED, indirect=True)
def test_sigterm_in_mid_stream_exits_cleanly_and_the_next_process_misses_nothing(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    send(settings, range(1_500))
    with subscriber(settings) as results:
        first = Process(settings, tmp_path / "first.log")
        results.read(100)
        assert first.end(signal.SIGTERM) == 0, first.log.read_text()
        assert 100 <= committed(settings) < 1_500, "it was stopped in mid-stream"
        second = Process(settings, tmp_path / "second.log")
        send(settings, range(1_500, 1_700))
        results.read(1_700)
        results.read_no_more()
        assert second.end(signal.SIGINT) == 0, second.log.read_text()
        assert sorted(results.numbers()) == list(range(1_700)), "nothing missing, nothing twice"
    assert committed(settings) == 1_700
    log = first.log.read_text() + second.log.read_text()
    assert "says hello" not in log, "comment texts never reach the log"
    assert all(json.loads(line)["level"] in ("debug", "info", "warning") for line in log.splitlines())


@pytest.mark.parametrize("make_settings", QUICK_ON_EMBEDDED, indirect=True)
def test_a_killed_process_loses_nothing_and_repeats_carry_their_event_ids(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    send(settings, range(1_000))
    with subscriber(settings) as results:
        first = Process(settings, tmp_path / "first.log")
        results.read(200)
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        second = Process(settings, tmp_path / "second.log")
        deadline = time.monotonic() + 90
        while set(results.numbers()) != set(range(1_000)) and time.monotonic() < deadline:
            results.read(len(results.messages) + 1, timeout_s=60)
        assert set(results.numbers()) == set(range(1_000))
        event_ids = {event.comment.id: event.event_id for event in results.events()}
        assert all(event_ids[event.comment.id] == event.event_id for event in results.events())
        assert second.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_redis_killed_and_restarted_in_mid_stream_loses_nothing(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    send(settings, range(1_200))
    with running_redis() as redis_server, subscriber(settings) as results:
        process = Process(settings, tmp_path / "run.log", REDIS_URL=redis_server.url)
        results.read(200)
        redis_server.kill()
        results.read(600)
        redis_server.start()
        results.read(1_200)
        assert process.end(signal.SIGTERM) == 0
        assert sorted(results.numbers()) == list(range(1_200))


@pytest.mark.parametrize(
    ("extra", "status", "sentence"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, 2, "KAFKA_BOOTSTRAP_SERVERS is empty"),
        ({"INPUT_TOPIC": "comments.tagged", "RESULTS_TOPIC": "comments.tagged"}, 2, "four different topics"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 1, "No Kafka broker answered at 127.0.0.1:1"),
    ],
)
def test_a_process_that_cannot_start_says_why_in_a_sentence_and_exits_non_zero(
    extra: dict[str, str], status: int, sentence: str, tmp_path: Path
) -> None:
    process = subprocess.run(
        [*COMMAND, "run"], env=os.environ | extra, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert process.returncode == status
    assert sentence in process.stderr
    assert "Traceback" not in process.stderr


def test_the_demo_accounts_for_every_record_of_a_file(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"c-{n}", "text": f"comment {n} from a file"}) for n in range(100)]
    lines[50] = "this line is broken"
    source = tmp_path / "mine.jsonl"
    source.write_text("\n".join(lines))
    output = tmp_path / "out.jsonl"
    command = [*COMMAND, "demo", "--input", str(source), "--output", str(output)]
    demo = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert demo.returncode == 0, demo.stderr
    assert "100 in = 99 tagged + 1 dead letters" in demo.stdout
    assert len(output.read_text().splitlines()) == 99
    (letter,) = (tmp_path / "out.dead-letters.jsonl").read_text().splitlines()
    assert json.loads(letter)["value"] == "this line is broken"


def test_what_a_command_warns_of_is_no_part_of_its_output(tmp_path: Path) -> None:
    told, output = tmp_path / "stderr", tmp_path / "stdout"
    with told.open("wb") as stderr, output.open("wb") as stdout:
        process = subprocess.Popen(
            [*COMMAND, "watch", "--json"],
            env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
            stdout=stdout,
            stderr=stderr,
            cwd=tmp_path,
        )
    wait_until(lambda: b"kafka_brokers_down" in told.read_bytes())
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert output.read_bytes() == b""
    assert b"debug" not in told.read_bytes(), "warnings only"
    assert b"\x1b" not in told.read_bytes(), "colours are for terminals"
