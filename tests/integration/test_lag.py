"""The lag of the partitions that a member holds, asked of real brokers."""

import socket
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from structlog.testing import capture_logs

from consumer.kafka import lag
from consumer.kafka.assignment import Assignment
from consumer.kafka.embedded import embedded_broker
from consumer.kafka.lag import LagWatch
from consumer.settings import Settings
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings, apache_settings, embedded_settings
from tests.stream import comment, committed, member, produce
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "ASK_EVERY_S", 0.3)
    monkeypatch.setattr(lag, "LOOK_EVERY_S", 0.05)


def holding(settings: Settings, *partitions: int) -> Assignment:
    assignment = Assignment()
    assignment.grant((settings.input_topic, partition) for partition in partitions)
    return assignment


def produce_to(settings: Settings, partition: int, count: int, producer: Producer | None = None) -> None:
    producer = producer or Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for number in range(count):
        producer.produce(settings.input_topic, comment(f"c-{number}", f"text {number}"), partition=partition)
    assert producer.flush(20) == 0


@pytest.mark.parametrize(
    ("broker", "delivery", "protocol"),
    [
        ("embedded", "at-least-once", "classic"),
        ("apache", "at-least-once", "classic"),
        ("apache", "at-least-once", "consumer"),
        ("apache", "exactly-once", "classic"),
        ("apache", "exactly-once", "consumer"),
    ],
)
def test_it_is_what_the_group_has_not_committed_yet(
    broker: str, delivery: str, protocol: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    make = embedded_settings if broker == "embedded" else apache_settings
    bootstrap = request.getfixturevalue(f"{broker}_bootstrap")
    settings = make(bootstrap, tmp_path, delivery=delivery, kafka_group_protocol=protocol)
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(60)))
    engine = WordEngine()
    with LagWatch(settings, holding(settings, 0, 1, 2, 3)) as watch:
        wait_until(lambda: sum(watch().values()) == 60)
        with member(settings, engine):
            wait_until(lambda: sum(watch().values()) == 0)
            assert committed(settings) == 60
            engine.gate.clear()
            produce(settings, (comment(f"d-{n}", f"more {n}") for n in range(30)))
            wait_until(lambda: sum(watch().values()) == 30)
            assert set(watch()) == {(settings.input_topic, partition) for partition in range(4)}
            engine.gate.set()


def test_it_follows_what_this_member_holds(make_settings: MakeSettings) -> None:
    settings = make_settings()
    for partition in range(4):
        produce_to(settings, partition, 10 + partition)
    assignment = holding(settings, 0, 1)
    topic = settings.input_topic
    with LagWatch(settings, assignment) as watch:
        wait_until(lambda: watch() == {(topic, 0): 10, (topic, 1): 11})
        assignment.end([(topic, 0)])
        assert watch() == {(topic, 1): 11}
        assignment.grant([(topic, 3)])
        wait_until(lambda: watch() == {(topic, 1): 11, (topic, 3): 13})
        assignment.end([(topic, 1), (topic, 3)])
        assert watch() == {}


def test_other_partitions_are_asked_about_at_once(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings()
    commit(settings, 1, 0)  # from here on the brokers know who coordinates the group
    monkeypatch.setattr(lag, "ASK_EVERY_S", 3600.0)
    produce_to(settings, 2, 5)
    assignment = holding(settings, 1)
    with LagWatch(settings, assignment) as watch:
        wait_until(lambda: watch() == {(settings.input_topic, 1): 0})
        assignment.grant([(settings.input_topic, 2)])
        wait_until(lambda: watch() == {(settings.input_topic, 1): 0, (settings.input_topic, 2): 5})


def test_where_a_group_begins_with_the_next_record_only_what_it_has_committed_has_a_lag(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(kafka_auto_offset_reset="latest")
    for partition in (0, 1):
        produce_to(settings, partition, 10)
    commit(settings, 1, 4)
    with LagWatch(settings, holding(settings, 0, 1)) as watch:
        wait_until(lambda: watch() == {(settings.input_topic, 1): 6})


def test_records_of_an_open_transaction_are_not_there_yet(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings()
    produce_to(settings, 0, 3)
    brokers = settings.kafka_bootstrap_servers
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": settings.input_topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    produce_to(settings, 0, 10, producer)
    with LagWatch(settings, holding(settings, 0)) as watch:
        wait_until(lambda: watch() == {(settings.input_topic, 0): 3})
        producer.commit_transaction(30)
        wait_until(lambda: watch() == {(settings.input_topic, 0): 14})  # with the transaction's end
        commit(settings, 0, 13)
        wait_until(lambda: watch() == {(settings.input_topic, 0): 1})


def test_a_lag_that_brokers_no_longer_confirm_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "FORGET_AFTER_S", 3.0)
    monkeypatch.setattr(lag, "ANSWER_TIMEOUT_S", 1.0)
    with embedded_broker([]) as bootstrap:
        settings = embedded_settings(bootstrap, tmp_path)
        produce_to(settings, 0, 10)
        watch = LagWatch(settings, holding(settings, 0))
        watch.__enter__()
        wait_until(lambda: watch() == {(settings.input_topic, 0): 10})
    with capture_logs() as logs:
        wait_until(lambda: watch() == {})
        assert ends_soon(watch)
    assert {entry["log_level"] for entry in logs if entry["event"] == "lag_unknown"} == {"debug"}


def test_it_ends_soon_and_without_a_word_while_brokers_take_connections_and_say_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, capture_logs() as logs:
        settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{silent.getsockname()[1]}")
        with LagWatch(settings, holding(settings, 0)) as watch:
            silent.accept()
            time.sleep(0.5)
            assert watch() == {}
            assert ends_soon(watch)
    assert not [entry for entry in logs if entry["log_level"] != "debug"]


def test_a_lasting_refusal_is_said_once_and_so_is_its_end(
    embedded_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    class Refused(Consumer):
        def committed(self, *arguments: object, **options: object) -> list[TopicPartition]:
            if len(refused) < 3:
                refused.append(1)
                raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
            return super().committed(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(lag, "Consumer", Refused)
    settings = embedded_settings(embedded_bootstrap, tmp_path)
    with capture_logs() as logs, LagWatch(settings, holding(settings, 0)) as watch:
        wait_until(lambda: watch() == {(settings.input_topic, 0): 0})
    ours = [(entry["event"], entry["log_level"]) for entry in logs if entry["event"].startswith("lag_")]
    assert ours == [("lag_unknown", "warning"), ("lag_known", "info")]


def commit(settings: Settings, partition: int, offset: int) -> None:
    group = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_group_id})

    def is_committed() -> bool:
        try:
            group.commit(offsets=[TopicPartition(settings.input_topic, partition, offset)], asynchronous=False)
        except KafkaException:
            return False
        return True

    wait_until(is_committed)
    group.close()


def ends_soon(watch: LagWatch) -> bool:
    began_s = time.monotonic()
    watch.__exit__()
    return time.monotonic() - began_s < lag.CLOSE_TIMEOUT_S + 2.0
