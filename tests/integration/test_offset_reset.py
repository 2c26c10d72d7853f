"""Offsets that the topic no longer has: said once, then as KAFKA_AUTO_OFFSET_RESET says, in both group protocols."""

import time
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from consumer.kafka.records import SourceError
from consumer.settings import Settings
from tests import waiting
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings
from tests.stream import Member, comment, committed, member, subscriber

Log = list[MutableMapping[str, Any]]

both_protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])


def send(settings: Settings, numbers: range) -> None:
    """Comments into partition 0, whose offsets are their numbers."""
    # Otherwise a batch that is tried again, of a topic made a moment ago, comes behind later ones.
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "enable.idempotence": True})
    for n in numbers:
        producer.produce(
            settings.input_topic, comment(f"c-{n}", f"text {n}"), partition=0, headers=[("number", str(n))]
        )
    assert producer.flush(60) == 0


def commit(settings: Settings, offset: int) -> None:
    group = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_group_id}
    consumer = Consumer(group)
    consumer.commit(offsets=[TopicPartition(settings.input_topic, 0, offset)], asynchronous=False)
    consumer.close()


def expire(settings: Settings, before: int) -> None:
    """What retention does: delete the records before an offset."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for future in admin.delete_records([TopicPartition(settings.input_topic, 0, before)]).values():
        future.result(30)


def warnings(logs: Log) -> Log:
    return [event for event in logs if event["event"] == "offset_out_of_range"]


wait_until = partial(waiting.wait_until, timeout_s=60.0)


@both_protocols
@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_a_committed_offset_that_retention_has_removed_is_said_once_and_reading_goes_on_as_set(
    protocol: str, reset: str, make_apache_settings: MakeSettings
) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_group_protocol=protocol, kafka_auto_offset_reset=reset)
    send(settings, range(100))
    commit(settings, 10)
    expire(settings, before=50)
    expected = range(50, 105) if reset == "earliest" else range(100, 105)
    with capture_logs() as logs, subscriber(settings) as results:
        with member(settings, WordEngine()):
            wait_until(lambda: warnings(logs))
            time.sleep(1)  # `latest` is where the topic ends when the client asks, a moment after the warning
            send(settings, range(100, 105))
            results.read(len(expected))
        with member(settings, WordEngine()):
            send(settings, range(105, 106))
            results.read(len(expected) + 1)
            results.read_no_more()
    assert results.numbers() == [*expected, 105]
    (warning,) = warnings(logs)
    assert (warning["topic"], warning["partition"], warning["offset"]) == (settings.input_topic, 0, 10)
    assert warning["auto_offset_reset"] == reset
    assert committed(settings) == 106


@both_protocols
def test_a_committed_offset_behind_the_end_of_a_topic_made_anew_is_said_once_and_all_of_it_is_read(
    protocol: str, make_apache_settings: MakeSettings
) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_group_protocol=protocol)
    send(settings, range(30))
    commit(settings, 80)
    with capture_logs() as logs, member(settings, WordEngine()), subscriber(settings) as results:
        results.read(30)
        results.read_no_more()
    assert [warning["offset"] for warning in warnings(logs)] == [80]
    assert committed(settings) == 30


@both_protocols
def test_records_that_expire_while_a_slow_member_has_not_read_them_are_said_once_and_the_rest_is_read(
    protocol: str, make_apache_settings: MakeSettings
) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_group_protocol=protocol, max_batch_records=10)
    send(settings, range(2_000))
    engine = WordEngine()
    engine.gate.clear()
    with capture_logs() as logs, member(settings, engine), subscriber(settings) as results:
        wait_until(lambda: any(event["event"] == "source_paused" for event in logs))
        expire(settings, before=1_500)
        engine.gate.set()
        wait_until(lambda: committed(settings) == 2_000)
        results.read(500)
        results.read_no_more()
    (warning,) = warnings(logs)
    assert warning["offset"] < 1_500
    assert results.numbers() == [*range(warning["offset"]), *range(1_500, 2_000)]


@both_protocols
def test_with_error_an_offset_that_is_gone_ends_the_member_with_a_sentence(
    protocol: str, make_apache_settings: MakeSettings
) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_group_protocol=protocol, kafka_auto_offset_reset="error")
    send(settings, range(100))
    commit(settings, 10)
    expire(settings, before=50)
    error = Member(settings, WordEngine()).wait_until_dead()
    assert isinstance(error, SourceError)
    assert f"offset 10 of {settings.input_topic}-0" in str(error)
    assert committed(settings) == 10


def test_with_error_a_group_without_offsets_ends_with_a_sentence(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_auto_offset_reset="error")
    send(settings, range(10))
    error = Member(settings, WordEngine()).wait_until_dead()
    assert isinstance(error, SourceError)
    assert f"no committed offset for {settings.input_topic}-0" in str(error)


def test_with_error_a_member_ends_when_records_expire_before_it_read_them(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(topic_partitions=1, kafka_auto_offset_reset="error", max_batch_records=10)
    send(settings, range(2_000))
    commit(settings, 0)
    engine = WordEngine()
    engine.gate.clear()
    with capture_logs() as logs:
        running = Member(settings, engine)
        wait_until(lambda: any(event["event"] == "source_paused" for event in logs))
        expire(settings, before=1_500)
        engine.gate.set()
        error = running.wait_until_dead()
    assert isinstance(error, SourceError)
    assert f"of {settings.input_topic}-0, which is not there" in str(error)
