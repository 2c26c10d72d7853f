"""Other people's JSON: read as it was meant, and cut and mended without touching any other byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from consumer.json_bytes import DoubledMemberError, Once, member, parsed, without_member
from tests.chaos.hostile import with_whole_characters

any_text = st.text(st.characters(codec=None), max_size=12)
"""Lone surrogates too."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
ONCE = Once("id", "text")
objects = st.dictionaries(any_text, json_values, max_size=5)
separators = st.sampled_from([(",", ":"), (" ,\n", "\t: "), (", ", ": ")])


@given(objects, st.booleans())
def test_half_emoji_are_replaced_in_every_string_and_nothing_else_changes(value: dict[str, Any], mark: bool) -> None:
    sent = b"\xef\xbb\xbf" * mark + json.dumps(value).encode()
    found, mended = parsed(from_json, sent)
    # Python joins halves that stand side by side, as a reader of the written escapes does.
    meant = with_whole_characters(json.loads(sent.decode("utf-8-sig")))
    assert found == from_json(mended) == meant


@given(st.binary(max_size=200))
def test_whatever_is_no_json_stays_no_json(value: bytes) -> None:
    try:
        parsed(from_json, value)
    except ValueError:
        return
    json.loads(value.decode("utf-8-sig"), parse_int=str)


@given(objects, json_values, separators, st.booleans())
def test_a_member_is_found_where_it_stands(
    others: dict[str, Any], value: Any, separators: tuple[str, str], escaped: bool
) -> None:
    text = f" {json.dumps(others | {'text': value}, separators=separators, ensure_ascii=escaped)}\n"
    found = member(text, "text")
    assert text[found.start :].startswith('"text"')
    assert json.loads(text[found.value_start : found.end]) == value


def as_written(value: bytes) -> Any:
    """All that is in it but the white space between its tokens: order, numbers and names that stand twice too."""
    return json.loads(value, object_pairs_hook=list, parse_int=str, parse_float=str)


@given(objects, separators, st.data())
def test_a_member_is_cut_out_and_every_other_byte_stays(
    value: dict[str, Any], separators: tuple[str, str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(value)))
    others = [(name, inner) for name, inner in value.items() if name != "text"]
    whole = dict([*others[:place], ("text", "you idiot"), *others[place:]])
    left = without_member(json.dumps(whole, separators=separators, ensure_ascii=False).encode(errors="replace"), "text")
    rest = json.dumps(dict(others), separators=separators, ensure_ascii=False).encode(errors="replace")
    assert as_written(left) == as_written(rest)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b'{"text":"x"}', b"{}"),
        (b'{ "text" : "x" }', b"{  }"),
        (b'{"text":"x", "n":1e400}', b'{"n":1e400}'),
        (b'{"n":0.10000000000000000555 , "text":"x"}', b'{"n":0.10000000000000000555 }'),
        (b'{"a":1,"te\\u0078t":"{,}","b":' + b"9" * 30 + b"}", b'{"a":1,"b":' + b"9" * 30 + b"}"),
        (b'{"a":"text","text":[{"text":1}],"b":{"text":2}}', b'{"a":"text","b":{"text":2}}'),
    ],
)
def test_what_is_left_without_a_member_is_as_it_was_written(value: bytes, left: bytes) -> None:
    assert without_member(value, "text") == left


@given(st.lists(st.tuples(st.sampled_from(["id", "text", "x"]), json_values), max_size=5), st.booleans())
def test_a_name_that_stands_twice_is_refused_and_only_then(pairs: list[tuple[str, Any]], escaped: bool) -> None:
    written = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs)
    value = ("{" + (written.replace('"text"', '"te\\u0078t"', 1) if escaped else written) + "}").encode()
    names = [name for name, _ in pairs]
    if names.count("id") > 1 or names.count("text") > 1:
        with pytest.raises(DoubledMemberError, match="stands twice"):
            ONCE.check(value)
    else:
        ONCE.check(value)
