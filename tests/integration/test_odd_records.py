"""Records as other people's programs write them, through the running consumer on real Kafka protocol."""

import json
from typing import NamedTuple

import pytest

from consumer.model import Engine, load_engine
from schemas import MAX_TEXT_CHARACTERS, DeadLetterReason
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings
from tests.stream import committed, headers, member, produce, subscriber


class Odd(NamedTuple):
    """What is sent, and the comment as its event has it."""

    sent: bytes
    comment: bytes


LONG = "x" * MAX_TEXT_CHARACTERS + " and more"
TAKEN = [
    Odd(b'\xef\xbb\xbf{"id":"mark","text":"x"}', b'{"id":"mark","text":"x"}'),
    Odd(rb'{"id":"half","text":"so good \ud83d"}', rb'{"id":"half","text":"so good \ufffd"}'),
    Odd(b'{"id":1042,"text":"x"}', b'{"id":"1042","text":"x"}'),
    *(
        Odd(value, value)
        for value in (
            b'{"id":"tag","text":"x","language":"en_US","author_id":77}',
            b'{"id":"times","text":"x","language":"","created_at":"2026-03-01 09:30:00"}',
            b'{"id":"ms","text":"x","created_at":1772357400250,"metadata":[1e400,0.10000000000000000555]}',
            b'{"id":"nested","text":"x","metadata":{"text":"y","id":"z","text":"w"}}',
            json.dumps({"id": "long", "text": LONG}).encode(),
        )
    ),
]
REFUSED = [
    (b'{"id":"1","text":"you idiot","text":"have a nice day"}', "text: stands twice"),
    (rb'{"id":"1","te\u0078t":"you idiot","text":"have a nice day"}', "text: stands twice"),
    (b'{"id":"1","id":"2","text":"x"}', "id: stands twice"),
    (b'{"id":1.5,"text":"x"}', "id: Input should be a string of 1 to 256 characters, or an integer"),
]


def test_only_what_would_mislead_is_refused_and_all_else_comes_out_as_it_was_sent(
    make_stream_settings: MakeSettings,
) -> None:
    settings = make_stream_settings()
    produce(settings, [*(odd.sent for odd in TAKEN), *(value for value, _ in REFUSED)])
    with member(settings, WordEngine()), subscriber(settings) as results:
        results.read(len(TAKEN) + len(REFUSED))
        results.read_no_more()
        values = {
            int(headers(m)["number"]): m.value() or b"" for m in results.messages if "dlq.reason" not in headers(m)
        }
        events = {event.comment.id: event for event in results.events()}
        letters = sorted(results.dead_letters(), key=lambda letter: int(headers(letter)["number"]))
    assert sorted(values) == list(range(len(TAKEN)))
    for number, odd in enumerate(TAKEN):
        assert b'"comment":' + odd.comment + b',"tags"' in values[number]
    assert [event.comment.id for event in events.values() if event.truncated] == ["long"]
    for letter, (value, detail) in zip(letters, REFUSED, strict=True):
        assert letter.value() == value
        assert headers(letter)["dlq.detail"].decode().startswith(detail)
    assert committed(settings) == len(TAKEN) + len(REFUSED)


PILLS = [
    "&#" + "1" * 4301 + ";",
    "&amp;#" + "0" * 5000 + "65;",
    "\\u0026#" + "1" * 4301 + ";",
    "&#" + "１" * 4301 + ";",
    "&#x" + "f" * 9_999 + ";",
    "😀\u200d" * 5000,
    "e\u0301" * 9_000 + "\u0316\u0301" * 1_000,
    "\ufdfa" * 20_480,
]


@pytest.fixture(scope="module")
def bundled() -> Engine:
    return load_engine("bundled")


def test_no_text_stops_the_stream(make_stream_settings: MakeSettings, bundled: Engine) -> None:
    settings = make_stream_settings()
    texts = [text for pill in PILLS for text in (pill, "What a lovely day")]
    produce(settings, [json.dumps({"id": str(number), "text": text}).encode() for number, text in enumerate(texts)])
    with member(settings, bundled), subscriber(settings) as results:
        results.read(len(texts))
        reasons = [headers(letter)["dlq.reason"].decode() for letter in results.dead_letters()]
        assert sorted(results.numbers()) == list(range(len(texts)))
    assert set(reasons) <= {DeadLetterReason.TEXT_FAILS_MODEL}
    assert committed(settings) == len(texts)
