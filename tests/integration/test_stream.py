"""Comments in, tagged events out: the running consumer on real Kafka protocol, embedded and Apache."""

import json
import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Message, Producer

from consumer.settings import Settings
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings
from tests.services import missing
from tests.stream import Member, comment, committed, headers, let_results_have, member, produce, subscriber


def test_every_comment_comes_out_once_and_in_order_per_key(make_stream_settings: MakeSettings) -> None:
    settings = make_stream_settings()
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(2_000)), key=lambda n: f"key-{n % 7}".encode())
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(2_000)
        results.read_no_more()
        by_key = defaultdict(list)
        for message in results.messages:
            by_key[message.key()].append(int(headers(message)["number"]))
        assert sorted(results.numbers()) == list(range(2_000))
        assert all(numbers == sorted(numbers) for numbers in by_key.values())
        assert len(by_key) == 7
    assert committed(settings) == 2_000


def test_a_tagged_comment_carries_the_comment_its_tags_the_decision_and_where_it_all_came_from(
    make_stream_settings: MakeSettings,
) -> None:
    settings = make_stream_settings()
    value = b'{"id": "c-1", "text": " So awful! ", "future_field": {"big": 12345678901234567890123, "x": 1.10}}'
    produce(settings, [value])
    with member(settings, WordEngine()), subscriber(settings) as results:
        (message,) = results.read(1)
    (event,) = results.events()
    assert message.key() == b"c-1"
    assert headers(message)["traceparent"] == b"00-11-22-01"
    assert value in (message.value() or b""), "the comment's own bytes are in the event, unknown fields and all"
    assert event.tags["toxicity"].label == "toxic"
    assert event.tags["toxicity"].scores.keys() == {"clean", "toxic"}
    assert event.decision.action == "reject"
    assert event.decision.rule == "reject:toxicity.toxic"
    assert (event.source.topic, event.source.offset) == (settings.input_topic, 0)
    assert event.event_id == f"{settings.input_topic}-{event.source.partition}-0-{event.source.timestamp}"
    assert event.answered_by == "model"
    assert (event.model.name, event.policy.version[:2]) == ("words", "p-")


def test_the_text_can_be_left_out_of_results(make_stream_settings: MakeSettings) -> None:
    settings = make_stream_settings(results_include_text=False)
    produce(settings, [comment("c-1", "nobody else may read this", author_id="u-1")])
    with member(settings, WordEngine()), subscriber(settings) as results:
        (message,) = results.read(1)
        assert results.events()[0].comment.author_id == "u-1"
    assert b"nobody else" not in (message.value() or b"")


def test_broken_records_become_dead_letters_byte_for_byte_and_the_rest_is_tagged(
    make_stream_settings: MakeSettings,
) -> None:
    settings = make_stream_settings()
    broken = [b"\xff\x00\xfe", b"", b"{", None, b'{"id":1}', comment("p", "poison"), b"[" * 9_999]
    good = [comment(f"c-{n}", f"fine {n}") for n in range(20)]
    values = [value for pair in zip(good, broken, strict=False) for value in pair] + good[len(broken) :]
    produce(settings, values, key=lambda n: b"\xfe key %d" % n)
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(len(values))
        letters = results.dead_letters()
        assert sorted(results.numbers()) == list(range(len(values)))
        for letter in letters:
            number = int(headers(letter)["number"])
            assert letter.value() == values[number]
            assert letter.key() == b"\xfe key %d" % number
            assert headers(letter)["traceparent"] == b"00-11-22-01"
            assert headers(letter)["dlq.topic"].decode() == settings.input_topic
            assert headers(letter)["dlq.detail"]
        reasons = sorted(headers(letter)["dlq.reason"].decode() for letter in letters)
        assert reasons == sorted(
            ["not-utf-8", "not-json", "not-json", "tombstone", "not-the-contract", "text-fails-model", "not-json"]
        )
    assert committed(settings) == len(values)


def test_a_restarted_member_goes_on_where_the_first_had_committed(make_stream_settings: MakeSettings) -> None:
    settings = make_stream_settings(max_batch_records=10)
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(300)))
    with subscriber(settings) as results:
        with member(settings, WordEngine(seconds_per_text=0.002)):
            results.read(50)
        with member(settings, WordEngine()):
            results.read(300)
            results.read_no_more()
        assert sorted(results.numbers()) == list(range(300)), "a clean stop neither loses nor repeats"


def test_a_member_whose_model_breaks_ends_with_the_reason_and_the_next_one_reads_its_work_again(
    make_stream_settings: MakeSettings,
) -> None:
    settings = make_stream_settings(max_batch_records=10)
    produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(600)))
    engine = WordEngine(seconds_per_text=0.002)
    with subscriber(settings) as results:
        first = Member(settings, engine)
        results.read(20)
        engine.broken = True
        assert "the model is gone" in str(first.wait_until_dead())
        with member(settings, WordEngine()):
            results.read(600)
            while set(results.numbers()) != set(range(600)):
                results.read(len(results.messages) + 1)
        events = {event.comment.id: event.event_id for event in results.events()}
        assert all(events[event.comment.id] == event.event_id for event in results.events()), (
            "a repeat has its event id"
        )


def test_two_members_share_the_work_and_lose_nothing_when_one_leaves(make_stream_settings: MakeSettings) -> None:
    settings = make_stream_settings(max_batch_records=20)
    engines = [WordEngine(seconds_per_text=0.001), WordEngine(seconds_per_text=0.001)]
    total = 3_000
    with subscriber(settings) as results, member(settings, engines[0]):
        produce(settings, (comment(f"c-{n}", f"text {n}") for n in range(total // 2)))
        results.read(10)
        with member(settings, engines[1]):
            produce(settings, (comment(f"d-{n}", f"more {n}") for n in range(total // 2)))
            results.read(total // 2)
        results.read(total, timeout_s=90)
        ids = [event.comment.id for event in results.events()]
        assert len(set(ids)) == total
        assert len(ids) == total, "cooperative hand-over finishes and commits what is in flight"
    assert committed(settings) == total


def test_repeats_are_classified_once(make_stream_settings: MakeSettings) -> None:
    settings = make_stream_settings(max_batch_records=50)
    texts = [f"spam {n % 10}" for n in range(1_000)]
    random.Random(1).shuffle(texts)
    produce(settings, (comment(f"c-{n}", text) for n, text in enumerate(texts)))
    engine = WordEngine()
    with member(settings, engine), subscriber(settings) as results:
        results.read(1_000)
    assert len(engine.classified) == 10
    assert {event.answered_by for event in results.events()} == {"model", "memory"}


def test_a_record_exactly_at_the_input_limit_comes_out_tagged_or_as_a_dead_letter(
    make_apache_settings: MakeSettings,
) -> None:
    settings = make_apache_settings()
    noise = random.Random(7)
    filler = "".join(noise.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=settings.input_max_record_bytes))

    def sized(value_bytes: int) -> bytes:
        return json.dumps({"id": "big", "text": "fine", "filler": filler[: value_bytes - 43]}).encode()

    assert len(sized(1000)) == 1000
    largest = _largest_accepted(settings, sized)
    assert settings.input_max_record_bytes - largest < 200, "the record is at the limit, not below it"
    long_text = json.dumps({"id": "long", "text": filler[: largest - 100]}).encode()
    without_text = json.dumps({"id": "none", "filler": filler[: largest - 100]}).encode()
    produce(settings, [long_text, without_text])
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(3)
        (letter,) = results.dead_letters()
        events = {event.comment.id: event for event in results.events()}
    assert letter.value() == without_text
    assert events.keys() == {"big", "long"}
    assert (events["long"].truncated, events["long"].comment.text) == (True, filler[: largest - 100])


def _largest_accepted(settings: Settings, sized: Callable[[int], bytes]) -> int:
    """Produce one record that the input topic takes while it refuses one a byte larger; returns its value's size."""
    refused: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "message.max.bytes": 10_000_000})

    def count(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            refused.append(error)

    for tries, value_bytes in enumerate(range(settings.input_max_record_bytes - 60, 0, -1), 1):
        headers: list[tuple[str, str | bytes | None]] = [("number", b"0"), ("traceparent", b"00-11-22-01")]
        producer.produce(settings.input_topic, value=sized(value_bytes), headers=headers, on_delivery=count)
        producer.flush(30)
        if len(refused) < tries:
            assert refused, "the first size tried must be too large"
            return value_bytes
    raise AssertionError("no size was accepted")


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_result_too_large_for_its_topic_becomes_a_dead_letter_and_its_neighbours_do_not(
    make_apache_settings: MakeSettings, delivery: str
) -> None:
    settings = make_apache_settings(topic_partitions=1, delivery=delivery)
    let_results_have(settings, 4_000)
    noise = random.Random(3)
    large = "".join(noise.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(9_000))
    values = [comment(f"c-{n}", large if n == 5 else f"small {n}") for n in range(10)]
    produce(settings, values)
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(10)
        results.read_no_more()
        (letter,) = results.dead_letters()
    assert headers(letter)["dlq.reason"] == b"result-too-large"
    assert letter.value() == values[5]
    assert sorted(event.comment.id for event in results.events()) == sorted(f"c-{n}" for n in range(10) if n != 5)


def test_a_header_whose_name_is_not_utf8_does_not_stop_the_stream(
    make_stream_settings: MakeSettings, tmp_path: Path
) -> None:
    if shutil.which("kcat") is None:
        missing("kcat is not on the PATH, and no Python client sends such a header")
    settings = make_stream_settings()
    value = tmp_path / "value"
    value.write_bytes(comment("c-1", "fine"))
    command: list[str | bytes] = [
        "kcat",
        "-P",
        "-b",
        settings.kafka_bootstrap_servers,
        "-t",
        settings.input_topic,
        "-H",
        b"x\xff\xfe=1",
    ]
    subprocess.run([*command, str(value)], check=True, timeout=30)
    produce(settings, [comment("c-2", "fine too")])
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(2)
        (letter,) = results.dead_letters()
        (event,) = results.events()
    assert headers(letter)["dlq.reason"] == b"not-utf-8"
    assert letter.value() == comment("c-1", "fine")
    assert event.comment.id == "c-2"
