"""Exactly-once on Apache Kafka: what a killed, fenced or slow member leaves behind, and both rebalance protocols."""

import random
import time
from typing import Any

import pytest
from confluent_kafka import Consumer

from consumer.app import run_with
from consumer.backoff import Backoff
from consumer.batch import Outgoing
from consumer.kafka.clients import consumer_config, make_producer, transactional_config
from consumer.kafka.transactions import FencedError, TransactionAbortedError, Transactions
from consumer.policy import Policy
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from tests.fakes import WordEngine, record
from tests.integration.conftest import MakeSettings, embedded_settings
from tests.stream import comment, committed, member, produce, subscriber

SMALL_BATCHES: Any = {"batch.size": 9_000}


def transactions(settings: Settings) -> Transactions:
    made = Transactions(
        make_producer(transactional_config(settings)), publish_timeout_s=5, patience=Backoff(0.1, 1, 30)
    )
    made.initialise(lambda: False)
    return made


def result(settings: Settings, value: bytes) -> Outgoing:
    return Outgoing(settings.results_topic, b"k", value, [("number", b"1")], record(b""), is_dead_letter=False)


def group_metadata(settings: Settings, **config: object) -> object:
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_group_id, **config}
    )
    return consumer.consumer_group_metadata()


def test_a_restarted_member_with_its_own_name_ends_at_once_what_its_killed_predecessor_left_open(
    make_apache_settings: MakeSettings,
) -> None:
    settings = make_apache_settings(
        delivery="exactly-once", kafka_group_instance_id="member-1", kafka_transaction_timeout_ms=60_000
    )
    killed = transactions(settings)
    killed.send([result(settings, b"half done")])
    killed.flush()
    successor = transactions(settings)
    successor.send([result(settings, b"done")])
    successor.flush()
    successor.send_offsets({(settings.input_topic, 0): 1}, group_metadata(settings))
    successor.commit()
    with subscriber(settings) as results:
        (message,) = results.read(1, timeout_s=30)
        results.read_no_more()
    assert message.value() == b"done"
    assert committed(settings) == 1
    with pytest.raises((FencedError, TransactionAbortedError)):
        killed.send_offsets({(settings.input_topic, 0): 5}, group_metadata(settings))
    assert committed(settings) == 1, "nothing of the fenced one counts"


def test_offsets_of_a_member_that_the_group_does_not_know_are_refused_and_its_results_stay_invisible(
    make_apache_settings: MakeSettings,
) -> None:
    settings = make_apache_settings(delivery="exactly-once")
    produce(settings, [comment("c-1", "text")])
    zombie = transactions(settings)
    given_up = Consumer(consumer_config(settings))
    given_up.subscribe([settings.input_topic])
    while given_up.poll(1) is None:
        pass
    metadata = given_up.consumer_group_metadata()
    given_up.close()
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(1)
        zombie.send([result(settings, b"from a zombie")])
        zombie.flush()
        with pytest.raises(TransactionAbortedError):
            zombie.send_offsets({(settings.input_topic, 0): 9}, metadata)
        zombie.abort()
        results.read_no_more()
    assert committed(settings) == 1


def test_the_embedded_broker_is_refused_because_it_does_not_isolate_transactions(
    embedded_bootstrap: str, tmp_path: object
) -> None:
    settings = embedded_settings(embedded_bootstrap, tmp_path, delivery="exactly-once")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="exactly-once needs a real Kafka: the embedded broker"):
        run_with(settings, WordEngine(), Policy(), lambda: True)


@pytest.mark.parametrize("delivery", [pytest.param("at-least-once", marks=pytest.mark.slow), "exactly-once"])
def test_members_share_the_work_under_the_brokers_own_rebalance_protocol(
    make_apache_settings: MakeSettings, delivery: str
) -> None:
    settings = make_apache_settings(delivery=delivery, kafka_group_protocol="consumer", max_batch_records=20)
    total = 2_000
    with subscriber(settings) as results, member(settings, WordEngine(seconds_per_text=0.001)):
        produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(total // 2)))
        results.read(10)
        with member(settings, WordEngine(seconds_per_text=0.001)):
            produce(settings, (comment(f"d-{n}", f"more {n}") for n in range(total // 2)))
            results.read(total // 2)
        results.read(total, timeout_s=90)
        results.read_no_more()
        assert len({event.comment.id for event in results.events()}) == total == len(results.messages)
    assert committed(settings) == total


def test_many_small_batches_share_transactions(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(
        delivery="exactly-once", max_batch_records=1, kafka_transaction_commit_interval_ms=500, topic_partitions=1
    )
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(500)))
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(500)
        offsets = sorted(message.offset() or 0 for message in results.messages)
    markers = offsets[-1] + 1 - len(offsets)
    assert sorted(results.numbers()) == list(range(500))
    assert markers < 100, "each commit leaves a marker in the log; 500 batches did not leave 500"


@pytest.mark.slow
def test_a_revoke_does_not_wait_for_the_commit_interval(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(
        delivery="exactly-once", kafka_transaction_commit_interval_ms=30_000, kafka_transaction_timeout_ms=60_000
    )
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(100)))
    began = time.monotonic()
    with subscriber(settings) as results:
        with member(settings, WordEngine()):
            results.read(1)
            produce(settings, (comment(f"d-{n}", f"text {n}") for n in range(100)))
            time.sleep(2)
            with member(settings, WordEngine()):
                results.read(200, timeout_s=25)
        results.read_no_more()
        assert len(results.messages) == 200
    assert time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_partitions_taken_away_in_back_pressure_are_read_on_when_they_come_back(
    make_apache_settings: MakeSettings, delivery: str
) -> None:
    settings = make_apache_settings(delivery=delivery, max_batch_records=5, shutdown_timeout_s=5)
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(200)))
    engine = WordEngine()
    engine.gate.clear()
    with subscriber(settings) as results, member(settings, engine):
        time.sleep(4)
        with member(settings, WordEngine(seconds_per_text=0.05)):
            results.read(1)
        engine.gate.set()
        results.read(200)
        assert {event.comment.id for event in results.events()} == {f"c-{n}" for n in range(200)}


def test_results_that_their_topic_takes_only_one_by_one_come_out_once(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(delivery="exactly-once", topic_partitions=1, input_max_record_bytes=20_000)
    produce(
        settings,
        (comment(f"c-{n}", f"{n} " + random.Random(n).randbytes(2_000).hex()) for n in range(60)),
        **SMALL_BATCHES,
    )
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(60)
        results.read_no_more()
        assert sorted(results.numbers()) == list(range(60))
        assert not results.dead_letters()


def test_a_member_whose_transactions_another_process_took_over_says_so(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(delivery="exactly-once", kafka_group_instance_id="member-1")
    first = transactions(settings)
    first.send([result(settings, b"half done")])
    transactions(settings)
    with pytest.raises(FencedError, match="This member was fenced"):
        send_and_wait(first, [result(settings, b"more")] * 100)


def send_and_wait(sender: Transactions, messages: list[Outgoing]) -> None:
    """Send and wait for the acknowledgements, and for an error that comes a moment later."""
    sender.send(messages)
    sender.flush()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        sender.poll()
        time.sleep(0.1)
