"""A range of the input topic is tagged again on a real Kafka: exactly that range, and without touching the stream."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from consumer.kafka.range_source import RangeProgress, TimeRange
from consumer.kafka.topics import create_output_topics
from consumer.policy import Policy
from consumer.reprocess import Outcomes, look_at_range, run_range, settings_of_run
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.terminal.reprocess import reprocess_range
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings, embedded_settings
from tests.integration.test_process import environment
from tests.stream import comment, committed, headers, member, subscriber

pytestmark = pytest.mark.slow

BEGIN_MS = int(time.time() - 7_200) * 1_000
both_deliveries = pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])


def moment(number: int) -> int:
    """Comments are written a second apart."""
    return BEGIN_MS + number * 1_000


def send(settings: Settings, numbers: Iterable[int], *, partitions: int = 4, **config: object) -> None:
    """Comments with the timestamps of their numbers, over the partitions in turn; every tenth is broken."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, **config})
    for n in numbers:
        value = b"{" if n % 10 == 0 else comment(f"c-{n}", f"text {n}")
        number = ("number", str(n))
        producer.produce(settings.input_topic, value, partition=n % partitions, timestamp=moment(n), headers=[number])
        producer.poll(0)
    assert producer.flush(60) == 0


def new_run(settings: Settings, time_range: TimeRange) -> Settings:
    """The settings of a run into a topic of its own, which is there."""
    run = settings_of_run(settings, time_range, f"again-{settings.input_topic}")
    create_output_topics(run)
    return run


def reprocess(
    run: Settings, time_range: TimeRange, engine: WordEngine, stopping: Callable[[], bool] = lambda: False
) -> tuple[RangeProgress, Outcomes]:
    progress, outcomes = RangeProgress(), Outcomes()
    run_range(run, time_range, engine, Policy(), progress=progress, outcomes=outcomes, stopping=stopping)
    return progress, outcomes


def command_of(run: Settings, time_range: TimeRange) -> list[str]:
    first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in time_range)
    times = ["--from", first, "--to", last]
    return [sys.executable, "-m", "consumer", "reprocess", *times, "--results-topic", run.results_topic]


def group_offsets(settings: Settings) -> dict[int, int]:
    reader = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_group_id})
    places = [TopicPartition(settings.input_topic, p) for p in range(settings.topic_partitions)]
    offsets = {place.partition: place.offset for place in reader.committed(places, timeout=30)}
    reader.close()
    return offsets


@both_deliveries
def test_exactly_the_range_is_tagged_again_with_the_streams_event_ids_and_the_stream_is_not_touched(
    delivery: str, make_apache_settings: MakeSettings
) -> None:
    settings = make_apache_settings()
    send(settings, range(400))
    with member(settings, WordEngine()), subscriber(settings) as live:
        live.read(400)
    live_ids = {event.comment.id: event.event_id for event in live.events()}
    before = group_offsets(settings)
    assert committed(settings) == 400

    time_range = TimeRange(moment(101), moment(300))
    run = new_run(settings.model_copy(update={"delivery": delivery}), time_range)
    progress, outcomes = reprocess(run, time_range, WordEngine())

    with subscriber(run) as again:
        again.read(199)
        again.read_no_more()
    assert sorted(again.numbers()) == list(range(101, 300)), "from the first moment on, and before the second"
    assert {event.comment.id: event.event_id for event in again.events()}.items() <= live_ids.items()
    assert all(headers(letter)["dlq.topic"].decode() == settings.input_topic for letter in again.dead_letters())
    assert (outcomes.tagged, sum(outcomes.dead_letters.values())) == (180, 19)
    assert progress.finished
    assert (progress.read, progress.total) == (199, 199)
    assert group_offsets(settings) == before
    assert all(span.next == span.end for span in look_at_range(run, time_range).values())


@both_deliveries
def test_a_run_that_was_stopped_goes_on_where_it_was(delivery: str, make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(delivery=delivery, max_batch_records=10)
    send(settings, range(500))
    time_range = TimeRange(moment(0), moment(500))
    run = new_run(settings, time_range)
    engine = WordEngine(seconds_per_text=0.005)
    progress, first = reprocess(run, time_range, engine, stopping=lambda: len(engine.classified) > 100)
    assert not progress.finished
    assert 90 < first.tagged < 450, "it was stopped in the midst"
    progress, second = reprocess(run, time_range, WordEngine())
    assert progress.finished
    with subscriber(run) as again:
        again.read(500)
        again.read_no_more()
    assert sorted(again.numbers()) == list(range(500)), "nothing missing, nothing twice"
    assert first.tagged + second.tagged == 450


@both_deliveries
def test_a_run_that_was_killed_goes_on_with_the_same_command(
    delivery: str, make_apache_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_apache_settings()
    send(settings, range(3_000))
    time_range = TimeRange(moment(0), moment(3_000))
    run = new_run(settings.model_copy(update={"delivery": delivery}), time_range)
    command = command_of(run, time_range)
    env = environment(settings, DELIVERY=delivery, TOPIC_PARTITIONS="4", MAX_BATCH_RECORDS="16", COLUMNS="40")
    with subscriber(run) as again:
        process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL)
        again.read(100, timeout_s=180)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        before = len(again.messages)
        ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
        assert ended.returncode == 0, ended.stderr
        assert f" {run.results_topic} " in ended.stdout
        assert f" {run.kafka_group_id} " in ended.stdout
        assert f"DEAD_LETTER_TOPIC={run.dead_letter_topic} moderate dead-letters list" in ended.stderr
        assert "dead_letter_share_high" not in ended.stderr
        again.read(3_000)
        while len(set(again.numbers())) < 3_000:
            again.read(len(again.messages) + 1)
        if delivery == "exactly-once":
            again.read_no_more()
            assert len(again.messages) == 3_000, "a read_committed subscriber sees each exactly once"
    assert before < 3_000, "it was killed in the midst"
    event_ids = {event.comment.id: event.event_id for event in again.events()}
    assert all(event_ids[event.comment.id] == event.event_id for event in again.events())
    third = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert third.returncode == 0
    assert "nothing to do" in third.stderr
    assert "already" in third.stderr


def test_sigterm_ends_a_run_cleanly_and_says_how_to_go_on(make_apache_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_apache_settings()
    send(settings, range(3_000))
    time_range = TimeRange(moment(0), moment(3_000))
    run = new_run(settings, time_range)
    command = command_of(run, time_range)
    env = environment(settings, MAX_BATCH_RECORDS="16")
    with subscriber(run) as again:
        process = subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        again.read(100, timeout_s=180)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "the same command goes on from there" in said
        again.read(committed(run))
        again.read_no_more()
    assert 100 <= committed(run) < 3_000, "it was stopped in the midst"


def test_marks_of_transactions_at_the_end_of_a_partition_do_not_keep_a_run_from_ending(
    make_apache_settings: MakeSettings,
) -> None:
    settings = make_apache_settings(topic_partitions=1)
    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "transactional.id": settings.kafka_group_id}
    )
    producer.init_transactions(30)
    for finish, end in ((producer.commit_transaction, 20), (producer.abort_transaction, 40)):
        producer.begin_transaction()
        for n in range(end - 20, end):
            number = ("number", str(n))
            producer.produce(settings.input_topic, comment(f"c-{n}", "text"), timestamp=moment(n), headers=[number])
        producer.flush(30)
        finish(30)
    time_range = TimeRange(moment(10), moment(1_000))
    run = new_run(settings, time_range)
    progress, outcomes = reprocess(run, time_range, WordEngine())
    assert progress.finished
    assert outcomes.tagged == 10
    with subscriber(run) as again:
        assert sorted(int(headers(m)["number"]) for m in again.read(10)) == list(range(10, 20))
    assert all(span.next == span.end for span in look_at_range(run, time_range).values())


def test_what_retention_takes_from_an_interrupted_run_is_said_and_the_rest_of_the_range_is_done(
    make_apache_settings: MakeSettings,
) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_auto_offset_reset="latest", max_batch_records=10)
    send(settings, range(500), partitions=1)
    time_range = TimeRange(moment(0), moment(400))
    run = new_run(settings, time_range)
    engine = WordEngine(seconds_per_text=0.005)
    reprocess(run, time_range, engine, stopping=lambda: len(engine.classified) > 100)
    done = group_offsets(run)[0]
    assert 100 < done < 300
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for future in admin.delete_records([TopicPartition(settings.input_topic, 0, 300)]).values():
        future.result(30)
    with capture_logs() as logs:
        progress, _ = reprocess(run, time_range, WordEngine())
    assert progress.finished
    (warning,) = [event for event in logs if event["event"] == "offset_out_of_range"]
    assert (warning["offset"], warning["auto_offset_reset"]) == (done, "earliest")
    with subscriber(run) as again:
        again.read(done + 100)
        again.read_no_more()
    assert sorted(again.numbers()) == [*range(done), *range(300, 400)]


@pytest.mark.parametrize(("first", "last"), [(-3_000, -2_000), (1_000, 1_500)], ids=["before", "behind"])
def test_a_range_without_records_loads_no_model_and_creates_no_topic(
    first: int,
    last: int,
    make_apache_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = make_apache_settings()
    send(settings, range(100))
    monkeypatch.setattr("consumer.terminal.reprocess.load_model", None)
    time_range = TimeRange(moment(first), moment(last))
    assert reprocess_range(settings, time_range, "nowhere", stopping=lambda: False)
    assert "nothing to do: no records in" in capsys.readouterr().err
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    assert "nowhere" not in admin.list_topics(timeout=10).topics


def test_the_embedded_broker_is_refused_because_it_knows_no_offsets_for_times(
    embedded_bootstrap: str, tmp_path: Path
) -> None:
    settings = embedded_settings(embedded_bootstrap, tmp_path)
    with pytest.raises(SettingsError, match="needs a real Kafka: the embedded broker does not know the offsets of a"):
        reprocess_range(settings, TimeRange(moment(0), moment(10)), "again", stopping=lambda: False)


def test_the_live_results_topic_is_refused_before_kafka_is_asked(tmp_path: Path) -> None:
    times = ["--from", "2026-03-01T09:30:00Z", "--to", "2026-03-01T10:30:00Z"]
    command = [sys.executable, "-m", "consumer", "reprocess", *times, "--results-topic", "comments.tagged"]
    env = environment(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 2
    assert "comments.tagged is RESULTS_TOPIC of the stream itself" in ended.stderr
    assert "Traceback" not in ended.stderr
