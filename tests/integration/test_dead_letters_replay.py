"""`moderate dead-letters replay` against brokers: each dead letter exactly once, whatever happens."""

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer

from consumer.answer import Answer, Unanswerable
from consumer.dead_letters import Position, Selection
from consumer.kafka import replay as replay_module
from consumer.kafka.clients import make_producer, producer_config
from consumer.kafka.dead_letters import StoppedError
from consumer.kafka.records import record_of
from consumer.kafka.replay import Replay, ReplayError
from consumer.settings import Settings
from consumer.terminal.dead_letters import list_dead_letters
from tests.buried import (
    ALL,
    NOT_JSON,
    ProducedHeaders,
    bury,
    bury_one,
    committed_records,
    counting,
    letter_headers,
    open_transaction,
    receipts,
    replay,
    replayed_values,
    whole_letters,
)
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings, embedded_settings
from tests.integration.test_process import COMMAND, environment
from tests.stream import comment, headers, member, produce, subscriber

pytestmark = pytest.mark.slow


class MendedEngine(WordEngine):
    """Answers what `WordEngine` cannot."""

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        return super().classify([text.replace("poison", "medicine") for text in model_texts])


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_what_is_sound_by_now_is_tagged_and_what_fails_again_comes_back_with_its_attempts(
    delivery: str, make_apache_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_apache_settings(delivery=delivery)
    produce(settings, [comment("c-1", "fine"), comment("c-2", "poison"), b"{broken"], key=lambda n: b"k%d" % n)
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(3)
        assert len(results.dead_letters()) == 2
    assert replay(settings)
    with member(settings, MendedEngine()), subscriber(settings) as results:
        results.read(2 + 2 + 2 + 1)  # results, dead letters, receipts, and what fails again
        results.read_no_more()
        tagged = [event.comment.id for event in results.events()]
        letters = [m for m in results.dead_letters() if "dlq.reason" in headers(m)]
    assert sorted(tagged) == ["c-1", "c-2"]
    assert len(letters) == 3
    (again,) = [m for m in letters if "dlq.attempts" in headers(m)]
    assert (again.key(), again.value(), headers(again)["dlq.attempts"]) == (b"k2", b"{broken", b"1")
    assert (headers(again)["number"], headers(again)["dlq.reason"]) == (b"2", b"not-json")
    capsys.readouterr()
    assert not replay(settings, max_attempts=1)
    assert "1 left: their header dlq.attempts says 1 or more" in capsys.readouterr().err
    assert replay(settings, max_attempts=2)
    list_dead_letters(settings, ALL, as_json=True, stopping=lambda: False)
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (listed["dead_letters"], listed["replayed"], listed["other_records"]) == (3, 3, 0)
    assert [of["most_attempts"] for of in listed["reasons"]] == [1, 0]


def test_a_replayed_record_is_the_original_one_in_its_original_partition(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings()
    own: ProducedHeaders = [
        ("traceparent", b"00-1"),
        ("twice", b"1"),
        ("twice", b"\xff\x00"),
        ("nothing", None),
        ("\x1b[2J", b"\x1b[31m"),
    ]
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    originals = [(b"k", b"\xff\x00\x1b"), (None, b"no key"), (b"tombstone", None), (b"", b""), (b"k", b"the last of k")]
    for n, (key, value) in enumerate(originals):
        producer.produce(settings.input_topic, key=key, value=value, headers=own, partition=3 - n % 4)
    assert producer.flush(30) == 0
    before = committed_records(settings, settings.input_topic)
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(5)
    assert replay(settings)
    after = committed_records(settings, settings.input_topic)

    def content(messages: list[Message]) -> list[tuple[object, ...]]:
        return sorted(((m.partition(), m.key(), m.value()) for m in messages), key=repr)

    new = [m for m in after if dict(m.headers() or ()).get("dlq.attempts")]
    assert content(new) == content(before)
    assert [m.value() for m in new if m.key() == b"k"] == [b"\xff\x00\x1b", b"the last of k"], "order per key is kept"
    assert all(m.headers() == [*own, ("dlq.attempts", b"1")] for m in new)


def test_a_record_from_elsewhere_goes_to_the_partition_of_its_key(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings()
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    elsewhere = settings.model_copy(update={"input_topic": "another-topic"})
    for n in range(40):
        of_it = letter_headers(elsewhere, n, 1) if n % 2 else letter_headers(settings, n, 99)
        producer.produce(settings.dead_letter_topic, key=b"k%d" % (n % 5), value=b"%d" % n, headers=of_it)
    assert producer.flush(30) == 0
    assert replay(settings)
    produce(settings, [b"direct"] * 5, key=lambda n: b"k%d" % n)
    homes: dict[bytes, set[int]] = {}
    for record, _ in map(record_of, committed_records(settings, settings.input_topic)):
        homes.setdefault(record.key or b"", set()).add(record.partition)
    assert len(homes) == 5
    assert all(len(partitions) == 1 for partitions in homes.values())


def test_replays_that_are_killed_again_and_again_lose_nothing_and_double_nothing(
    make_apache_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_apache_settings()
    count = 8_000
    bury(settings, count)
    command = [*COMMAND, "dead-letters", "replay", "--all"]
    ended = 0
    with counting(settings, settings.input_topic) as appended:
        for kill in range(8):
            enough = appended() + random.Random(kill).randrange(1, 1_000)
            with (tmp_path / f"{kill}.log").open("wb") as log:
                process = subprocess.Popen(command, env=environment(settings), cwd=tmp_path, stdout=log, stderr=log)
            while process.poll() is None and appended() < enough:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            ended += process.wait(60) != -signal.SIGKILL
    assert not ended, "the kills came too late"
    assert 0 < len(replayed_values(settings)) < count
    end = subprocess.run(
        command, env=environment(settings), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert end.returncode == 0, end.stderr
    assert sorted(replayed_values(settings), key=lambda v: int(v or b"-1")) == [b"%d" % n for n in range(count)]
    assert len(receipts(settings)) == len(set(receipts(settings))) == count


def test_a_second_replay_fences_the_first_whatever_their_groups_are(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings()
    bury(settings, 10)
    first = Replay(settings)
    first.begin()
    letters = whole_letters(settings)
    assert first.send(letters[:4]) == []
    assert replay(settings.model_copy(update={"kafka_group_id": "somebody-elses-group"}))
    with pytest.raises(ReplayError, match="Another replay of this dead-letter topic has begun"):
        first.send(letters[4:])
    assert sorted(replayed_values(settings), key=str) == [b"%d" % n for n in range(10)]


def test_receipts_behind_an_open_transaction_are_waited_for(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings(topic_partitions=1)
    bury_one(settings, 0)
    outcome: list[bool] = []
    first = Replay(settings)
    first.begin()
    letters = whole_letters(settings)
    with open_transaction(settings, 0):
        assert first.send(letters) == []
        second = threading.Thread(target=lambda: outcome.append(replay(settings)), daemon=True)
        second.start()
        second.join(3)
        assert second.is_alive(), "it did not wait for the transaction that hides the receipt"
    second.join(60)
    assert outcome == [True]
    assert replayed_values(settings) == [b"broken"]


def test_a_record_that_its_attempts_make_too_large_is_left_and_told_of_and_the_others_are_replayed(
    make_apache_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_apache_settings(topic_partitions=1, input_max_record_bytes=1_024)
    largest = largest_value(settings)
    for n, value in enumerate([b"a", largest, b"b", largest[::-1], b"c"]):
        bury_one(settings, 0, value=value, source_offset=1_000 + n)
    before = len(replayed_values(settings))
    assert not replay(settings)
    assert replayed_values(settings)[before:] == [b"a", b"b", b"c"]
    shown = capsys.readouterr()
    assert "2 left: the input topic refuses them as too large" in shown.err
    assert "0:1, 0:3" in shown.err
    assert not replay(settings)
    assert len(replayed_values(settings)) == before + 3


def largest_value(settings: Settings) -> bytes:
    """Bytes that do not compress, as many as fit into a record of the input topic."""
    value = random.Random(1).randbytes(settings.input_max_record_bytes)
    producer = make_producer(producer_config(settings))
    taken: list[bool] = []
    for size in range(len(value), 0, -1):
        producer.produce(settings.input_topic, value=value[:size], on_delivery=lambda error, _: taken.append(not error))
        producer.flush(30)
        if taken[-1]:
            return value[:size]
    raise AssertionError("nothing fits")


def test_a_signal_ends_a_replay_behind_its_transaction_and_the_next_one_does_the_rest(
    make_apache_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_apache_settings()
    bury(settings, 100)
    monkeypatch.setattr(replay_module, "TRANSACTION_RECORDS", 10)
    with counting(settings, settings.input_topic) as appended:
        assert not replay(settings, stopping=lambda: appended() > 0)
    assert "left: a signal came; run it again" in capsys.readouterr().err
    assert 0 < len(replayed_values(settings)) < 100
    assert replay(settings)
    assert sorted(replayed_values(settings), key=lambda v: int(v or b"-1")) == [b"%d" % n for n in range(100)]


def test_a_signal_while_the_topic_is_read_replays_nothing(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings()
    bury(settings, 10)
    with pytest.raises(StoppedError, match="nothing was changed"):
        replay(settings, stopping=lambda: True)
    assert replayed_values(settings) == []


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    make_apache_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_apache_settings()
    bury_one(settings, 2, own_headers=[("dlq.attempts", b"1")])
    other = Replay(settings)
    other.begin()
    assert replay(settings, Selection(reasons=frozenset([NOT_JSON])), dry_run=True)
    shown = capsys.readouterr()
    assert f"2:0 not-json, attempt 2: to {settings.input_topic}, partition 0" in shown.err
    assert "would be replayed" in shown.out
    assert (replayed_values(settings), receipts(settings)) == ([], [])
    assert other.send(whole_letters(settings)) == [], "it fenced the replay that is running"


def test_a_place_without_a_dead_letter_is_told_of(
    make_apache_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_apache_settings()
    bury_one(settings, 0)
    wanted = Selection(positions=frozenset([Position(0, 0), Position(3, 17)]))
    assert not replay(settings, wanted)
    assert "no dead letter lies at 3:17" in capsys.readouterr().err
    assert replayed_values(settings) == [b"broken"]


def test_a_replay_is_refused_on_the_embedded_broker(embedded_bootstrap: str, tmp_path: Path) -> None:
    settings = embedded_settings(embedded_bootstrap, tmp_path)
    with pytest.raises(ReplayError, match="does not isolate them"):
        replay(settings)
