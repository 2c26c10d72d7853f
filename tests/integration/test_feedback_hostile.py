"""`moderate feedback collect` where records lie about their time, their texts were never tagged, or it is killed."""

import json
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from consumer.kafka.clients import make_admin
from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.terminal.feedback import collect
from consumer.training.errors import TrainingError
from consumer.training.feedback import read_feedback
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings
from tests.integration.test_feedback import feedback, files, run, send, wait_until
from tests.integration.test_process import COMMAND, environment
from tests.stream import comment, member, produce, subscriber

CENTURIES = "9999-12-31T23:59:59Z"
CENTURIES_MS = 253_402_300_799_000


def correction(comment_id: str, moment: datetime | str, moderator: str, label: str) -> bytes:
    at = moment if isinstance(moment, str) else moment.isoformat()
    fields = {"comment_id": comment_id, "text": f"text of {comment_id}", "moderator_id": moderator, "at": at}
    return json.dumps(fields | {"labels": {"toxicity": label}}).encode()


def send_as_of(settings: Settings, *records: tuple[bytes, int]) -> None:
    """Send values with the Kafka times (milliseconds) that their producer claims."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value, timestamp_ms in records:
        producer.produce(settings.feedback_topic, value=value, partition=0, timestamp=timestamp_ms)
    assert producer.flush(30) == 0


def where_producers_set_the_time(settings: Settings) -> Settings:
    """The same with a feedback topic of Kafka's own defaults, but that it takes times of every century."""
    topic = f"{settings.feedback_topic}-create-time"
    config = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    admin = make_admin(settings)
    admin.create_topics([NewTopic(topic, num_partitions=1, config=config)])[topic].result(30)
    return settings.model_copy(update={"feedback_topic": topic})


def labels(directory: Path) -> dict[str, str]:
    return {row.text.removeprefix("text of "): row.labels["toxicity"] for row in read_feedback(directory)}


def reasons(directory: Path) -> list[str]:
    return [json.loads(line)["reason"] for line in (directory / "rejected.jsonl").read_text().splitlines()]


def test_a_correction_of_the_year_9999_pins_no_label(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    send(settings, (0, correction("c-1", CENTURIES, "m-1", "toxic")), (0, feedback("c-1", 1, toxicity="clean")))
    run(settings, tmp_path / "dataset")
    assert labels(tmp_path / "dataset") == {"c-1": "clean"}
    assert [reason.startswith("at: more than 5 minutes ahead of") for reason in reasons(tmp_path / "dataset")] == [True]


def test_in_the_topic_that_topics_create_makes_nobody_sets_the_time_of_a_record(
    make_apache_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_apache_settings(topic_partitions=1)
    now = datetime.now(UTC)
    send_as_of(
        settings,
        (correction("c-1", CENTURIES, "m-1", "toxic"), CENTURIES_MS),
        (correction("c-1", now + timedelta(hours=1), "m-1", "toxic"), int(now.timestamp() * 1000) + 3_600_000),
        (correction("c-1", now + timedelta(minutes=4), "m-1", "toxic"), int(now.timestamp() * 1000) + 240_000),
        (correction("c-2", now, "m-1", "toxic"), 1),
    )
    time.sleep(0.01)
    send_as_of(settings, (correction("c-1", datetime.now(UTC), "m-2", "clean"), 1))
    run(settings, tmp_path / "dataset")
    assert labels(tmp_path / "dataset") == {"c-1": "clean", "c-2": "toxic"}
    assert len(reasons(tmp_path / "dataset")) == 2


def test_where_producers_set_the_time_of_records_the_collectors_clock_bounds_it(
    make_apache_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = where_producers_set_the_time(make_apache_settings(topic_partitions=1))
    now = datetime.now(UTC)
    send_as_of(
        settings,
        (correction("c-1", CENTURIES, "m-1", "toxic"), CENTURIES_MS),
        (correction("c-2", now + timedelta(minutes=3), "m-1", "toxic"), int(now.timestamp() * 1000) + 180_000),
        (correction("c-1", now - timedelta(hours=1), "m-2", "clean"), int(now.timestamp() * 1000)),
        (correction("c-3", now, "m-2", "clean"), int(now.timestamp() * 1000) - 3_600_000),
    )
    run(settings, tmp_path / "dataset")
    assert labels(tmp_path / "dataset") == {"c-1": "clean", "c-2": "toxic"}
    assert ["this machine" in reason for reason in reasons(tmp_path / "dataset")] == [True, False]
    send_as_of(settings, (correction("c-2", datetime.now(UTC), "m-2", "clean"), int(time.time() * 1000)))
    run(settings, tmp_path / "dataset")
    assert labels(tmp_path / "dataset")["c-2"] == "clean", "three minutes ahead wins nothing over what comes later"


@pytest.mark.parametrize("include_text", [True, False])
def test_texts_that_never_came_out_of_the_stream_are_found_and_left_out(
    make_settings: MakeSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str], include_text: bool
) -> None:
    settings = make_settings(results_include_text=include_text)
    with subscriber(settings) as results, member(settings, WordEngine()):
        produce(settings, [*(comment(f"c-{n}", f"text of c-{n}") for n in range(20)), comment("other", "yours")])
        results.read(21)
    corrected = [feedback(f"c-{n}", n, toxicity="toxic") for n in (3, 17)]
    send(settings, *((n % 2, raw) for n, raw in enumerate([*corrected, feedback("never", 1, toxicity="toxic")])))
    send(settings, (0, feedback("other", 2, toxicity="toxic")))
    directory = tmp_path / "dataset"
    run(settings, directory)
    assert "not compared" in capsys.readouterr().out
    assert len(labels(directory)) == 4, "what was not compared is not judged"
    collect(settings, directory, "", idle_s=20.0, follow=False, stopping=lambda: False, against_results=True)
    known = {"c-3", "c-17"} if include_text else {"c-3", "c-17", "other"}
    assert labels(directory).keys() == known
    report = json.loads((directory / "report.json").read_text())
    assert set(report["never_tagged_comment_ids"]) == {"never", "other"} - known
    shown = capsys.readouterr()
    assert f"warning: {4 - len(known)} correction" in shown.err
    before = files(directory)
    run(settings, directory)
    assert files(directory) == before


def test_a_comparison_that_a_signal_ends_leaves_nothing_out(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    produce(settings, [])
    send(settings, (0, feedback("never", 1, toxicity="toxic")))
    run(settings, tmp_path / "dataset")
    collect(settings, tmp_path / "dataset", "", idle_s=5.0, follow=False, stopping=lambda: True, against_results=True)
    assert len(labels(tmp_path / "dataset")) == 1


def test_following_and_comparing_contradict_each_other(tmp_path: Path) -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    with pytest.raises(SettingsError, match="leave --follow out"):
        collect(settings, tmp_path, "", idle_s=5.0, follow=True, stopping=lambda: False, against_results=True)


def test_a_topic_that_was_created_anew_with_fewer_records_is_not_taken_for_read(
    make_apache_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_apache_settings(topic_partitions=1)
    send(settings, *((0, feedback(f"c-{n}", n, toxicity="toxic")) for n in range(5)))
    run(settings, tmp_path / "dataset")
    admin = make_admin(settings)
    admin.delete_topics([settings.feedback_topic])[settings.feedback_topic].result(30)
    wait_until(lambda: create_topics(settings)[settings.feedback_topic])
    send(settings, (0, feedback("new", 1, toxicity="toxic")))
    with pytest.raises(TrainingError, match="the topic was created anew"):
        run(settings, tmp_path / "dataset")
    run(settings, tmp_path / "new")
    assert labels(tmp_path / "new") == {"new": "toxic"}


def test_a_collector_that_is_killed_while_it_follows_repeats_nothing_and_loses_nothing(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    directory = tmp_path / "dataset"
    events = directory / "events.jsonl"
    sent = 0
    for _ in range(2):
        process = subprocess.Popen(
            [*COMMAND, "feedback", "collect", str(directory), "--follow"],
            env=environment(settings),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(10):
            send(settings, *((n % 2, feedback(f"c-{n}", n % 60, toxicity="toxic")) for n in range(sent, sent + 20)))
            sent += 20
        wait_until(lambda: events.exists() and events.read_bytes().count(b"\n") >= sent - 100)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    run(settings, directory)
    comments = [json.loads(line)["comment_id"] for line in events.read_text().splitlines()]
    assert sorted(comments) == sorted(f"c-{n}" for n in range(sent))
    assert len(labels(directory)) == sent
