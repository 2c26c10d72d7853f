"""A record on the feedback topic, as a hostile producer writes it: its time, its JSON, its bounds."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.training.corrections import Correction, Rejected
from consumer.training.feedback_record import entry_of
from schemas.comment import MAX_TEXT_CHARACTERS
from schemas.feedback import EXAMPLE_FEEDBACK
from tests.chaos.strategies import any_text, json_values
from tests.corrections import EXAMPLE, SENT, SENT_MS, record

KEY = b"k" * 32
NOW_MS = SENT_MS + 24 * 3_600_000
"""The collector reads a day after the record was written."""


def entry(raw: bytes, timestamp_ms: int | None = SENT_MS, now_ms: int = NOW_MS) -> Correction | Rejected:
    return entry_of(record(0, raw, timestamp_ms=timestamp_ms), KEY, now_ms)


def example(**fields: object) -> bytes:
    return json.dumps(EXAMPLE_FEEDBACK | fields).encode()


def at(moment: datetime) -> bytes:
    return example(at=moment.isoformat())


def accepted(raw: bytes, timestamp_ms: int | None = SENT_MS, now_ms: int = NOW_MS) -> Correction:
    found = entry(raw, timestamp_ms, now_ms)
    assert isinstance(found, Correction), found
    return found


def reason(raw: bytes, timestamp_ms: int | None = SENT_MS, now_ms: int = NOW_MS) -> str:
    found = entry(raw, timestamp_ms, now_ms)
    assert isinstance(found, Rejected), found
    return found.reason


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "2026-03-02T00:05:01Z", "2026-03-02T02:05:01+02:00"]
)
def test_a_correction_from_a_time_after_its_own_record_is_rejected(moment: str) -> None:
    assert reason(example(at=moment)).startswith(
        "at: more than 5 minutes ahead of the record's own time, 2026-03-02T00:00:00Z;"
    )


def test_a_clock_that_is_slightly_ahead_is_no_fault_and_wins_nothing() -> None:
    assert accepted(at(SENT + timedelta(minutes=5))).at == SENT
    assert accepted(at(SENT - timedelta(seconds=1))).at == SENT - timedelta(seconds=1)


@pytest.mark.parametrize("timestamp_ms", [None, -1, 2**63 - 1, -(2**63), NOW_MS + 1])
def test_where_the_records_own_time_is_missing_or_ahead_of_the_clock_the_clock_counts(timestamp_ms: int | None) -> None:
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    assert "ahead of the clock of this machine, 2026-03-03" in reason(at(now + timedelta(minutes=6)), timestamp_ms)
    assert accepted(at(now + timedelta(minutes=4)), timestamp_ms).at == now
    assert accepted(EXAMPLE, timestamp_ms).at.isoformat() == "2026-03-01T10:02:11+00:00"


@pytest.mark.parametrize(
    ("moment", "is_fine"),
    [
        ("0001-01-01T00:00:00Z", True),
        ("0001-01-01T00:00:00+23:59", True),
        ("1969-12-31T23:59:59Z", True),
        ("0000-01-01T00:00:00Z", False),
        ("2016-12-31T23:59:60Z", False),
        ("2016-12-31T24:00:00Z", False),
        ("2016-12-31T23:00:00+24:00", False),
        ("2016-12-31T23:00:00+99:99", False),
        ("2016-12-31T23:00:00." + "9" * 5_000 + "Z", True),
    ],
)
@pytest.mark.parametrize("timestamp_ms", [None, 0, SENT_MS])
def test_the_ends_of_the_calendar_are_taken_or_rejected(moment: str, is_fine: bool, timestamp_ms: int | None) -> None:
    found = entry(example(at=moment), timestamp_ms)
    is_after = timestamp_ms == 0 and moment > "1970"
    assert isinstance(found, Correction) == (is_fine and not is_after)
    if isinstance(found, Correction):
        assert Correction.model_validate_json(found.model_dump_json(exclude_none=True)) == found


@pytest.mark.parametrize(
    ("raw", "doubled"),
    [
        (EXAMPLE.replace(b'"labels"', b'"labels": {"toxicity": "toxic"}, "labels"'), "labels"),
        (EXAMPLE.replace(b'"text"', b'"te\\u0078t": "you idiot", "text"'), "text"),
        (EXAMPLE.replace(b'"toxicity"', b'"toxicity": "toxic", "toxicity"'), "toxicity"),
        (EXAMPLE.replace(b'"at"', b'"at": "2026-01-01T00:00:00Z", "at"'), "at"),
    ],
)
def test_a_member_that_stands_twice_is_rejected_by_its_name(raw: bytes, doubled: str) -> None:
    assert reason(raw) == f"{doubled}: stands twice, and readers differ in which of the two counts; send it once"


def test_a_byte_order_mark_is_skipped() -> None:
    assert accepted(b"\xef\xbb\xbf" + EXAMPLE) == accepted(EXAMPLE)


def test_half_an_emoji_becomes_the_replacement_character_in_text_and_ids() -> None:
    found = accepted(example(text="so good \ud83d", comment_id="c\udc00", moderator_id="m\ud800"))
    assert (found.text, found.comment_id) == ("so good \ufffd", "c\ufffd")
    whole = accepted(EXAMPLE.replace(b"Best", b"\\ud83d\\ude00"))
    assert whole.text.startswith("\U0001f600 recipe")


def test_integer_ids_are_taken_as_their_digits() -> None:
    named = accepted(example(comment_id="1042", moderator_id="7"))
    assert accepted(example(comment_id=1042, moderator_id=7)) == named
    assert accepted(example(comment_id=10**20 - 1)).comment_id == "9" * 20


@pytest.mark.parametrize("number", ["1042.0", "1e3", "1" * 21, "1" * 5_000, "true", "NaN", "Infinity", "1e400"])
def test_other_numbers_are_no_ids(number: str) -> None:
    for name, text in (("comment_id", '"c-1042"'), ("moderator_id", '"m-3"')):
        raw = EXAMPLE.decode().replace(text, number).encode()
        assert name in reason(raw)
        assert number not in reason(raw)


@pytest.mark.parametrize(
    "odd", ['"x": 1e400', '"x": NaN', '"x": ' + "1" * 5_000, '"x": {"text": 1}', '"\\ud800": "\\udfff"', '"at2": null']
)
def test_fields_that_the_contract_does_not_name_are_left_out(odd: str) -> None:
    assert accepted(EXAMPLE.replace(b"{", b"{" + odd.encode() + b", ", 1)) == accepted(EXAMPLE)


def test_labels_of_a_group_that_there_is_not_are_rejected_by_its_name() -> None:
    assert reason(example(labels={"toxicity": "clean", "spam": "yes"})).startswith("labels.spam: Extra inputs")
    assert len(reason(example(labels={"x" * 5_000: "yes"}))) < 200


def test_of_a_text_that_is_longer_than_the_stream_reads_the_first_part_is_kept() -> None:
    """A moderation tool sends the text of the tagged event back, which carries it whole."""
    text = "word " * MAX_TEXT_CHARACTERS
    assert accepted(example(text=f"  {text}")).text == text[:MAX_TEXT_CHARACTERS]


def test_ids_are_bounded() -> None:
    assert "moderator_id: Input should be a string of 1 to 256 characters" in reason(example(moderator_id="m" * 257))
    assert "comment_id" in reason(example(comment_id="c" * 257))
    accepted(example(comment_id="c" * 256, moderator_id="m" * 256))


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"labels":' * 50_000, b"\xff\xfe{\0}\0", b'"' + b"\\" * 9_999, b""])
def test_what_is_no_json_is_rejected(raw: bytes) -> None:
    assert "Invalid JSON" in reason(raw)


moments = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    any_text,
)
ids = st.one_of(any_text, st.integers(), st.sampled_from(["c-1", 7]))
sound_labels = st.sampled_from([{"toxicity": "toxic"}, {"sentiment": "neutral"}])
odd_records = st.fixed_dictionaries(
    {},
    optional={
        "comment_id": st.one_of(ids, json_values),
        "text": st.one_of(any_text, json_values),
        "labels": st.one_of(sound_labels, json_values),
        "moderator_id": st.one_of(ids, json_values),
        "at": st.one_of(moments, json_values),
        "more": json_values,
    },
).map(lambda fields: json.dumps(EXAMPLE_FEEDBACK | fields).encode())


@settings(deadline=None, max_examples=200)
@given(
    raw=st.one_of(st.none(), odd_records, odd_records.map(lambda raw: raw[:-1]), st.binary()),
    timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
    now_ms=st.integers(0, 2**40),
)
def test_every_record_is_accepted_or_rejected_and_its_line_is_read_back(
    raw: bytes | None, timestamp_ms: int | None, now_ms: int
) -> None:
    found = entry_of(record(3, raw, timestamp_ms=timestamp_ms), KEY, now_ms)
    line = found.model_dump_json(exclude_none=True)
    assert "\n" not in line
    assert type(found).model_validate_json(line) == found
    if isinstance(found, Correction):
        assert found.at <= datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(milliseconds=1)
        assert len(found.text) <= MAX_TEXT_CHARACTERS
