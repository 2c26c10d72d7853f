"""`moderate feedback collect` against brokers: from the feedback topic to rows to train on."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from consumer.kafka import reading
from consumer.kafka.clients import KafkaUnavailableError, make_admin
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.terminal.feedback import collect
from consumer.training.data import Row
from consumer.training.feedback import read_feedback
from schemas.feedback import EXAMPLE_FEEDBACK
from tests import waiting
from tests.integration.conftest import MakeSettings
from tests.integration.test_process import COMMAND, environment

SECONDS_OF_PATIENCE = 60.0

wait_until = partial(waiting.wait_until, timeout_s=SECONDS_OF_PATIENCE)


def feedback(comment_id: str, second: int, moderator: str = "m-1", **labels: str) -> bytes:
    at = f"2026-03-01T10:00:{second:02d}Z"
    record = {"comment_id": comment_id, "text": f"text of {comment_id}", "moderator_id": moderator, "at": at}
    return json.dumps(record | {"labels": labels}).encode()


def send(settings: Settings, *records: tuple[int, bytes | None]) -> None:
    """Send values to their partitions, in order."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for partition, value in records:
        producer.produce(settings.feedback_topic, value=value, partition=partition)
    assert producer.flush(30) == 0


def run(settings: Settings, directory: Path, *, group_id: str = "") -> None:
    collect(settings, directory, group_id, idle_s=20.0, follow=False, stopping=lambda: False)


def committed(settings: Settings, partitions: int = 2) -> list[int]:
    reader = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": f"{settings.kafka_group_id}-feedback"}
    )
    asked = [TopicPartition(settings.feedback_topic, partition) for partition in range(partitions)]
    offsets = [max(0, partition.offset) for partition in reader.committed(asked, timeout=30)]
    reader.close()
    return offsets


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_corrections_of_two_partitions_become_rows_conflicts_and_rejected_records(
    make_settings: MakeSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings()
    send(
        settings,
        (0, json.dumps(EXAMPLE_FEEDBACK).encode()),
        (0, feedback("c-1", 5, "jane.doe", toxicity="toxic", sentiment="negative")),
        (1, feedback("c-1", 9, "john.roe", toxicity="clean")),
        (1, b"hello world, not JSON"),
        (1, None),
        (1, feedback("c-2", 1, toxicity="toxic")),
        (0, feedback("c-2", 0, toxicity="clean")),
    )
    directory = tmp_path / "dataset"
    run(settings, directory)
    assert read_feedback(directory) == [
        Row("Best recipe on this site, thank you!", {"toxicity": "clean"}, "feedback"),
        Row("text of c-1", {"sentiment": "negative", "toxicity": "clean"}, "feedback"),
        Row("text of c-2", {"toxicity": "toxic"}, "feedback"),
    ]
    report = json.loads((directory / "report.json").read_text())
    assert report["conflicting_comment_ids"] == ["c-1"]
    assert report["labels"] == {"sentiment": {"negative": 1}, "toxicity": {"clean": 2, "toxic": 1}}
    assert (report["corrections"], report["comments"], report["rejected"]) == (4, 3, 2), "m-1 changed their mind once"
    rejected = [json.loads(line) for line in (directory / "rejected.jsonl").read_text().splitlines()]
    assert [(entry["partition"], entry["offset"]) for entry in rejected] == [(1, 1), (1, 2)]
    assert committed(settings) == [3, 4]
    assert not any(b"jane.doe" in content or b"john.roe" in content for content in files(directory).values())
    shown = capsys.readouterr()
    assert "rejected: partition 1, offset 1: value: Invalid JSON" in shown.err
    assert "rejected: partition 1, offset 2: the record has no value (a tombstone)" in shown.err
    assert f"next: moderate train fit DATA --feedback {directory} --continue-from MODEL --output NEW" in shown.err
    assert "hello world" not in shown.out + shown.err
    assert "text of" not in shown.out + shown.err


def test_a_crash_between_the_disk_and_the_commit_repeats_nothing_and_loses_nothing(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    directory = tmp_path / "dataset"
    send(settings, (0, feedback("c-1", 1, toxicity="toxic")), (1, b"broken"), (1, feedback("c-2", 1, toxicity="clean")))

    def crash(*_: object) -> None:
        raise RuntimeError("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(reading, "_commit", crash)
        with pytest.raises(RuntimeError, match="died here"):
            run(settings, directory)
    assert committed(settings) == [0, 0]
    run(settings, directory)
    after = files(directory)
    assert len(after["events.jsonl"].splitlines()) == 2
    assert len(after["rejected.jsonl"].splitlines()) == 1
    assert committed(settings) == [1, 2]
    run(settings, directory)
    assert files(directory) == after
    send(settings, (0, feedback("c-3", 1, toxicity="clean")))
    run(settings, directory)
    assert len(read_feedback(directory)) == 3


def test_a_new_directory_gets_the_whole_topic_although_the_group_has_read_it(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    send(settings, (0, feedback("c-1", 1, toxicity="toxic")), (1, feedback("c-2", 1, toxicity="clean")))
    run(settings, tmp_path / "first")
    run(settings, tmp_path / "second")
    assert read_feedback(tmp_path / "second") == read_feedback(tmp_path / "first")


def test_sigterm_while_following_leaves_a_whole_dataset(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    send(settings, *((n % 2, feedback(f"c-{n}", n % 60, toxicity="toxic")) for n in range(50)))
    directory = tmp_path / "dataset"
    process = subprocess.Popen(
        [*COMMAND, "feedback", "collect", str(directory), "--follow"],
        env=environment(settings),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events = directory / "events.jsonl"
    wait_until(lambda: events.exists() and events.read_bytes().count(b"\n") == 50)
    send(settings, (0, feedback("late", 1, sentiment="neutral")))
    wait_until(lambda: events.read_bytes().count(b"\n") == 51)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "rows to train on" in output
    assert len(read_feedback(directory)) == 51


def test_partitions_that_are_added_while_following_are_read(
    make_apache_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_apache_settings(topic_partitions=1)
    monkeypatch.setattr(reading, "LOOK_FOR_PARTITIONS_EVERY_S", 0.2)
    send(settings, (0, feedback("c-1", 1, toxicity="toxic")))
    events = tmp_path / "dataset" / "events.jsonl"

    def add_a_partition_then_wait_for_its_record() -> bool:
        count = events.read_bytes().count(b"\n")
        if count == 1 and not added:
            added.append(True)
            admin = make_admin(settings)
            futures = admin.create_partitions([NewPartitions(settings.feedback_topic, 2)])
            futures[settings.feedback_topic].result(30)
            wait_until(
                lambda: len(admin.list_topics(settings.feedback_topic).topics[settings.feedback_topic].partitions) == 2
            )
            send(settings, (1, feedback("c-2", 1, toxicity="clean")))
        return count == 2 or time.monotonic() > deadline

    added: list[bool] = []
    deadline = time.monotonic() + SECONDS_OF_PATIENCE
    stopping = add_a_partition_then_wait_for_its_record
    collect(settings, tmp_path / "dataset", "", idle_s=5.0, follow=True, stopping=stopping)
    assert len(read_feedback(tmp_path / "dataset")) == 2


def test_corrections_that_expired_before_they_were_collected_are_told_of(
    make_apache_settings: MakeSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_apache_settings(topic_partitions=1)
    send(settings, (0, feedback("c-0", 0, toxicity="toxic")))
    run(settings, tmp_path / "dataset")
    send(settings, *((0, feedback(f"c-{n}", n, toxicity="toxic")) for n in (1, 2, 3)))
    expiring = TopicPartition(settings.feedback_topic, 0, 3)
    admin = make_admin(settings)
    admin.delete_records([expiring])[expiring].result(30)
    run(settings, tmp_path / "dataset")
    assert "warning: 2 offsets were deleted by the topic's retention" in capsys.readouterr().err
    assert [row.text for row in read_feedback(tmp_path / "dataset")] == ["text of c-0", "text of c-3"]


class SilentConsumer:
    """A client whose brokers have gone silent."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        pass

    def poll(self, _timeout_s: float) -> None:
        time.sleep(0.01)


def test_brokers_that_go_silent_before_the_end_are_no_success() -> None:
    batches = reading.batches(
        SilentConsumer(),  # type: ignore[arg-type]
        "comments.feedback",
        {0: 0, 1: 0},
        {0: 5, 1: 5},
        idle_s=0.1,
        stopping=lambda: False,
    )
    with pytest.raises(KafkaUnavailableError, match=r"gave nothing for 0\.1 s before the end of partition 0, 1"):
        list(batches)


def test_the_streams_own_group_is_refused(tmp_path: Path) -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1", kafka_group_id="stream")
    with pytest.raises(SettingsError, match="the group of the stream itself"):
        run(settings, tmp_path / "dataset", group_id="stream")
    assert not (tmp_path / "dataset").exists()


def test_a_topic_that_is_not_there_is_said_in_a_sentence(make_apache_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_apache_settings().model_copy(update={"feedback_topic": "no-such-topic"})
    with pytest.raises(KafkaUnavailableError, match=r"no-such-topic cannot be read: .*moderate topics create"):
        run(settings, tmp_path / "dataset")


def test_no_brokers_are_said_in_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "consumer", "feedback", "collect", str(tmp_path / "dataset")]
    process = subprocess.run(
        command, env={"KAFKA_BOOTSTRAP_SERVERS": ""}, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert process.returncode == 2
    assert "KAFKA_BOOTSTRAP_SERVERS is empty" in process.stderr
