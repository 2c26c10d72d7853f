"""Any bytes in, a comment or a refusal out; never an exception."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from consumer.batch import Decoded, Refusal
from consumer.decode import decode
from schemas import MAX_TEXT_CHARACTERS, DeadLetterReason
from schemas.comment import DECORATION_NAMES, EXAMPLE_COMMENT

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(st.binary(max_size=300))
def test_any_bytes_become_a_comment_or_a_refusal(value: bytes) -> None:
    assert isinstance(decode(value), Decoded | Refusal)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
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
        (b'{"id":"a","text":"x","metadata":{"v":NaN}}', DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"x","v":-Infinity}', DeadLetterReason.NOT_JSON),
        (b"[" * 5000, DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"x","v":' + b"[" * 195 + b"]" * 195 + b"}", DeadLetterReason.NOT_JSON),
        (b"[]", DeadLetterReason.NOT_THE_CONTRACT),
        (b"null", DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"text":"no id"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":7.0,"text":"x"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":7e2,"text":"x"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":true,"text":"x"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":"","text":"x"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":100000000000000000000,"text":"x"}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":"a","text":7}', DeadLetterReason.NOT_THE_CONTRACT),
        (b'{"id":"a","text":"x"}'.decode().encode("utf-16"), DeadLetterReason.NOT_UTF_8),
        (b"\xef\xbb\xbf", DeadLetterReason.NOT_JSON),
        (b'{"id":"a","text":"  \\n "}', DeadLetterReason.NOT_THE_CONTRACT),
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
    if isinstance(decoded := decode(value), Decoded):
        from_json(b'{"comment":' + decoded.json + b"}")


def test_texts_that_only_mention_nan_are_accepted() -> None:
    assert isinstance(decode(b'{"id":"a","text":"NaN and Infinity are fine in a text [[["}'), Decoded)


def test_a_refusal_never_quotes_the_text() -> None:
    refusal = decode(b'{"id":["my secret"],"text":"my secret words","text":"my secret"}')
    assert isinstance(refusal, Refusal)
    assert "secret" not in refusal.detail


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b'{"id":"1","text":"you idiot","text":"have a nice day"}', "text"),
        (rb'{"id":"1","text":"you idiot","te\u0078t":"have a nice day"}', "text"),
        (rb'{"id":"1","\u0074\u0065\u0078\u0074":"you idiot","text":"have a nice day"}', "text"),
        (rb'{"id":"1","\u0074ext":"you idiot","\u0074ext":"have a nice day"}', "text"),
        (b'{"id":"1","id":"2","text":"x"}', "id"),
        (rb'{"\u0069d":1,"text":"x","metadata":{"id":3},"i\u0064":2}', "id"),
    ],
)
def test_a_comment_with_two_texts_or_two_ids_is_refused_and_the_doubled_member_is_named(
    value: bytes, name: str
) -> None:
    refusal = decode(value)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == DeadLetterReason.NOT_THE_CONTRACT
    assert refusal.detail.startswith(f"{name}: stands twice")


@pytest.mark.parametrize(
    "value",
    [
        rb'{"id":"a","text":"x","metadata":{"text":1,"id":[{"text":"text","id":2,"text":3}]},"language":"text"}',
        rb'{"id":"a","text":"\u0069d \"text\" \"te\u0078t\"","type":"text","kind":"id"}',
        rb'{"id":"a","text":"x","metadata":1,"metadata":{"n":2},"Text":"y"}',
    ],
)
def test_names_that_stand_twice_elsewhere_refuse_no_comment_and_stay_as_they_came(value: bytes) -> None:
    decoded = decode(value)
    assert isinstance(decoded, Decoded)
    assert decoded.json == value


@pytest.mark.parametrize(
    ("value", "text", "json_bytes"),
    [
        (rb'{"id":"a","text":"so good \ud83d"}', "so good \ufffd", rb'{"id":"a","text":"so good \ufffd"}'),
        (rb'{"id":"a","text":"\ude00\ud83d"}', "\ufffd\ufffd", rb'{"id":"a","text":"\ufffd\ufffd"}'),
        (rb'{"id":"a","text":"\uD83D\ud83d\uDE00"}', "\ufffd\U0001f600", rb'{"id":"a","text":"\ufffd\ud83d\uDE00"}'),
        (rb'{"id":"a","text":"\ud83d \\ud83d"}', "\ufffd \\ud83d", rb'{"id":"a","text":"\ufffd \\ud83d"}'),
        (
            rb'{"id":"a","text":"x","n":1E400,"\udbff":["\udc00",0.10000000000000000555]}',
            "x",
            rb'{"id":"a","text":"x","n":1E400,"\ufffd":["\ufffd",0.10000000000000000555]}',
        ),
    ],
)
def test_half_an_emoji_becomes_u_fffd_in_every_string_and_all_else_stays_as_it_came(
    value: bytes, text: str, json_bytes: bytes
) -> None:
    decoded = decode(value)
    assert isinstance(decoded, Decoded)
    assert (decoded.text, decoded.json) == (text, json_bytes)


def test_a_byte_order_mark_before_the_json_is_taken_and_not_handed_on() -> None:
    decoded = decode(b'\xef\xbb\xbf{"id":"a","text":"x"}')
    assert isinstance(decoded, Decoded)
    assert decoded.json == b'{"id":"a","text":"x"}'


@pytest.mark.parametrize(
    ("value", "comment_id", "json_bytes"),
    [
        (b'{"id":1042,"text":"x"}', "1042", b'{"id":"1042","text":"x"}'),
        (b'{"id":99999999999999999999,"text":"x"}', "9" * 20, b'{"id":"99999999999999999999","text":"x"}'),
        (b' { "metadata" : {"id":5} ,"id"\t:\n-7\r,"text":"x"} ', "-7", None),
        (b'{"text":"x","n":1e400,"id":0}', "0", b'{"text":"x","n":1e400,"id":"0"}'),
        (b'{"id":-0,"text":"x"}', "0", b'{"id":"0","text":"x"}'),
        (rb'{"\u0069d":1,"metadata":{"id":5},"text":"x"}', "1", rb'{"\u0069d":"1","metadata":{"id":5},"text":"x"}'),
        (b'{"id":"007","text":"x"}', "007", b'{"id":"007","text":"x"}'),
        ('{"id":"\u0661\u0662","text":"x"}'.encode(), "\u0661\u0662", None),
    ],
)
def test_an_integer_id_is_taken_as_its_digits_and_its_event_has_a_string(
    value: bytes, comment_id: str, json_bytes: bytes | None
) -> None:
    decoded = decode(value)
    assert isinstance(decoded, Decoded)
    assert decoded.comment_id == comment_id
    assert json.loads(decoded.json)["id"] == comment_id
    assert decoded.json == (json_bytes or decoded.json)


def test_of_a_longer_text_the_first_20480_characters_are_judged() -> None:
    at_the_limit = decode(json.dumps({"id": "a", "text": " " * 99 + "x" * MAX_TEXT_CHARACTERS + "\n" * 99}).encode())
    longer = decode(json.dumps({"id": "a", "text": "x" * MAX_TEXT_CHARACTERS + "y"}).encode())
    assert isinstance(at_the_limit, Decoded)
    assert isinstance(longer, Decoded)
    assert at_the_limit.text == longer.text == "x" * MAX_TEXT_CHARACTERS
    assert (at_the_limit.is_cut, longer.is_cut) == (False, True)


ODD_DECORATIONS: dict[str, tuple[object, ...]] = {
    "language": ("en_US", "", "e n", "x" * 36, 5, "en\n", ["en"]),
    "created_at": ("2026-03-01 09:30:00", 1_772_357_400_250, "", "2026-02-30T00:00:00Z"),
    "author_id": (77, 1.5, {}, True),
    "thread_id": (77, []),
    "metadata": ([], "x", 1, False),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, odd in ODD_DECORATIONS.items() for value in odd])
def test_a_decoration_in_another_form_refuses_no_comment_and_travels_on_as_it_came(name: str, value: object) -> None:
    sent = json.dumps({"id": "a", "text": "x", name: value}).encode()
    decoded = decode(sent)
    assert isinstance(decoded, Decoded)
    assert decoded.json == sent
    assert decoded.misfits == [name]


def test_decorations_as_the_contract_describes_them_are_no_misfits() -> None:
    decorated = decode(json.dumps(EXAMPLE_COMMENT).encode())
    empty = decode(json.dumps({"id": "a", "text": "x"} | dict.fromkeys(DECORATION_NAMES)).encode())
    assert isinstance(decorated, Decoded)
    assert isinstance(empty, Decoded)
    assert decorated.misfits == empty.misfits == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["language", "created_at", "metadata", "author_id", "x"]), json_values))
def test_only_id_and_text_can_refuse_a_comment(fields: dict[str, object]) -> None:
    value = json.dumps({"id": "a", "text": "x"} | fields, allow_nan=True).encode()
    if b"NaN" not in value and b"Infinity" not in value:
        assert isinstance(decode(value), Decoded)
