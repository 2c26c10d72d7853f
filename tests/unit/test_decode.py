"""Any bytes in, a comment or a refusal out; never an exception."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from consumer.batch import Refusal
from consumer.decode import Decoded, decode
from schemas import DeadLetterReason

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(st.binary(max_size=300))
def test_any_bytes_become_a_comment_or_a_refusal(value: bytes) -> None:
    assert isinstance(decode(value), Decoded | Refusal)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["id", "text", "language", "created_at", "metadata", "x"]), json_values))
def test_any_json_object_becomes_a_comment_or_a_refusal(fields: dict[str, object]) -> None:
    assert isinstance(decode(json.dumps(fields).encode()), Decoded | Refusal)


@given(st.text(min_size=1, max_size=256), st.text(min_size=1, max_size=500).filter(str.strip))
def test_every_comment_that_keeps_the_contract_is_accepted(comment_id: str, text: str) -> None:
    try:
        value = json.dumps({"id": comment_id, "text": text}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    decoded = decode(value)
    assert isinstance(decoded, Decoded)
    assert decoded.comment_id == comment_id
    assert decoded.text.strip() == text.strip()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, DeadLetterReason.TOMBSTONE),
        (b"", DeadLetterReason.NOT_JSON),
        (b"\xff\xfe", DeadLetterReason.NOT_UTF_8),
        (b'{"id":"a","text":"caf\xe9"}', DeadLetterReason.NOT_UTF_8),
        (b'{"id":"a","text":"cut', DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"\\ud800 alone"}', DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"x","metadata":{"v":NaN}}', DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"x","v":-Infinity}', DeadLetterReason.NOT_JSON),
        (b"[" * 5000, DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"x","v":' + b"[" * 195 + b"]" * 195 + b"}", DeadLetterReason.NOT_JSON),
        (b"[]", DeadLetterReason.NOT_THE_CONTRACT),
        (b"null", DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"text":"no id"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":7,"text":"x"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":"a","text":"  \\n "}', DeadLetterReason.NOT_THE_CONTRACT),
        (json.dumps({"id": "a", "text": "x" * 10_001}).encode(), DeadLetterReason.NOT_THE_CONTRACT),
    ],
)
def test_a_broken_record_is_refused_for_its_own_reason(value: bytes | None, reason: DeadLetterReason) -> None:
    refusal = decode(value)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert refusal.detail


@given(st.integers(min_value=0, max_value=220))
def test_what_is_accepted_can_be_parsed_again_inside_a_tagged_event(depth: int) -> None:
    value = b'{"id":"a","text":"x","v":' + b"[" * depth + b"]" * depth + b"}"
    if isinstance(decode(value), Decoded):
        from_json(b'{"comment":' + value + b"}")


def test_texts_that_only_mention_nan_are_accepted() -> None:
    assert isinstance(decode(b'{"id":"a","text":"NaN and Infinity are fine in a text [[["}'), Decoded)


def test_a_refusal_never_quotes_the_text() -> None:
    refusal = decode(b'{"id":"a","text":"my secret words","language":"not a language!","created_at":"my secret"}')
    assert isinstance(refusal, Refusal)
    assert "secret" not in refusal.detail
