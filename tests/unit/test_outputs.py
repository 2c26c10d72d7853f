"""From an item with its outcome to the message that is published."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.answer import Answer
from consumer.batch import Decoded, Item, Lease, Outgoing
from consumer.decode import decode
from consumer.outputs import Outputs
from consumer.policy import Policy
from consumer.verdict import Judge
from schemas import MAX_TEXT_CHARACTERS, ModelInfo, TaggedComment
from schemas.dead_letter import from_kafka
from tests.fakes import TAG_GROUPS, record

NOW = "2026-03-01T09:30:00.291Z"
ANSWER = Answer((0.2, 0.3, 0.5, 0.01), truncated=False)


def outputs(*, include_text: bool = True) -> Outputs:
    judge = Judge(tags_of=TAG_GROUPS.tags, model=ModelInfo(name="words", version="1"), policy=Policy())
    return Outputs(results_topic="results", dead_letter_topic="dead", include_text=include_text, judge=judge)


def item(value: bytes) -> Item:
    comment = decode(value)
    assert isinstance(comment, Decoded)
    return Item(record(value), Lease("comments", 0), comment=comment, answer=ANSWER)


def message(value: bytes, *, include_text: bool = True) -> Outgoing:
    return outputs(include_text=include_text).message(item(value), NOW)


def comment_json(outgoing: Outgoing) -> bytes:
    value = outgoing.value or b""
    begin = value.index(b'"comment":') + len(b'"comment":')
    return value[begin : value.index(b',"tags":')]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b'{"id":"a","text":"x","metadata":{"n":1e400}}', b'{"id":"a","metadata":{"n":1e400}}'),
        (
            b'{"id":"a","metadata":{"n":0.10000000000000000555,"k":123456789012345678901234567890},"text":"x"}',
            b'{"id":"a","metadata":{"n":0.10000000000000000555,"k":123456789012345678901234567890}}',
        ),
        (b'{"text":"\\u00e9 \\"text\\"","id":7,"z":"caf\\u00e9","a":1.0}', b'{"id":"7","z":"caf\\u00e9","a":1.0}'),
        (b'{"id":"a",\n"text":"x",\n"language":"en_US"}', b'{"id":"a", "language":"en_US"}'),
    ],
)
def test_without_its_text_the_comment_s_other_bytes_stay_as_they_came(value: bytes, left: bytes) -> None:
    outgoing = message(value, include_text=False)
    assert comment_json(outgoing) == left
    assert TaggedComment.model_validate_json(outgoing.value or b"").comment.text is None


decorations = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
fields = st.dictionaries(
    st.sampled_from(["language", "created_at", "author_id", "thread_id", "metadata", "more", "tags", "comment"]),
    decorations | st.lists(decorations, max_size=2) | st.dictionaries(st.text(max_size=4), decorations, max_size=2),
)


@given(fields, st.text(min_size=1).filter(str.strip), st.booleans(), st.booleans())
def test_every_event_can_be_read_by_its_contract_and_carries_the_comment(
    fields: dict[str, Any], text: str, include_text: bool, escaped: bool
) -> None:
    sent = {"id": "a", "text": text, **fields}
    value = json.dumps(sent, ensure_ascii=escaped).encode()
    outgoing = message(value, include_text=include_text)
    event = TaggedComment.model_validate_json(outgoing.value or b"")
    expected = sent if include_text else {name: field for name, field in sent.items() if name != "text"}
    assert json.loads(outgoing.value or b"")["comment"] == expected
    assert event.comment.id == "a"


def test_an_event_is_one_line_whatever_stands_between_its_comment_s_tokens() -> None:
    assert b"\n" not in (message(b'{\r\n"id":"a",\n"text":"x"\n}').value or b"\n")


def test_the_event_of_a_text_that_was_cut_says_truncated_and_carries_all_of_it() -> None:
    text = "x" * (MAX_TEXT_CHARACTERS + 1)
    event = TaggedComment.model_validate_json(message(json.dumps({"id": "a", "text": text}).encode()).value or b"")
    whole = TaggedComment.model_validate_json(message(json.dumps({"id": "a", "text": text[1:]}).encode()).value or b"")
    assert event.truncated
    assert event.comment.text == text
    assert not whole.truncated


def test_the_key_is_the_producer_s_else_the_id_as_a_string() -> None:
    assert message(b'{"id":1042,"text":"x"}').key == b"1042"


def test_a_comment_whose_event_cannot_be_built_becomes_its_own_dead_letter() -> None:
    broken = item(b'{"id":"a","text":"my secret"}')
    broken.answer = Answer((0.2,), truncated=False)  # too few scores: the tags cannot be made
    outgoing = outputs().message(broken, NOW)
    assert outgoing.is_dead_letter
    assert outgoing.value == broken.record.value
    assert from_kafka(outgoing.headers).reason == "text-fails-model"
    assert "secret" not in from_kafka(outgoing.headers).detail
    assert broken.refusal is not None
    assert broken.verdict is None


def test_an_item_without_an_outcome_is_never_passed_over() -> None:
    with pytest.raises(RuntimeError, match="comments-0 offset 0"):
        outputs().message(Item(record(b"x"), Lease("comments", 0)), NOW)
