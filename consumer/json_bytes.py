"""JSON as other people's programs write it: with a byte order mark, half an emoji, or a name that stands twice."""

import json
import re
from collections.abc import Callable, Container
from typing import NamedTuple, TypeVar

T = TypeVar("T")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(b"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
"""An escaped half of a surrogate pair that stands alone."""
_BLANKS = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
"""Python's, because it tells where a value ends. It keeps numbers as they are written: of more than 4,300 digits Python
refuses to read them."""


class Member(NamedTuple):
    """A member of the outermost object, and where it stands in the text: from its name's quotation mark at `start`, its
    value from `value_start`, up to `end`."""

    name: str
    start: int
    value_start: int
    end: int


class DoubledMemberError(ValueError):
    """A name that may stand in an object once stands there twice, and readers differ in which value they take."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: stands twice, and readers differ in which of the two counts; send it once")
        self.name = name


def parsed(validate: Callable[[bytes], T], value: bytes) -> tuple[T, bytes]:
    """What `validate` makes of a JSON text in UTF-8, and the bytes that it made it of: without a byte order mark, and
    with U+FFFD in the place of each half of a surrogate pair that stands alone.

    Raises what `validate` does, which is a `ValueError`: pydantic's `ValidationError` is one.
    """
    value = value.removeprefix(BYTE_ORDER_MARK)
    try:
        return validate(value), value
    except ValueError:
        mended = _with_whole_characters(value)
        if mended == value:
            raise
    return validate(mended), mended


def _with_whole_characters(value: bytes) -> bytes:
    """Escaped backslashes stand aside meanwhile as NULs, which JSON has none of, so that they begin no escape."""
    if b"\0" in value:
        return value
    return _HALF.sub(rb"\\ufffd", value.replace(rb"\\", b"\0\0")).replace(b"\0\0", rb"\\")


def refuse_doubled(value: bytes, names: Container[str]) -> None:
    """Raise `DoubledMemberError` where `value`, which is a JSON object, has one of these names twice."""
    seen = set()
    for member in members(value.decode()):
        if member.name in seen and member.name in names:
            raise DoubledMemberError(member.name)
        seen.add(member.name)


def without_member(value: bytes, name: str) -> bytes:
    """The JSON object in `value` without its member `name`, which stands in it once; all other bytes stay."""
    text = value.decode()
    found = members(text)
    at = [member.name for member in found].index(name)
    if at + 1 < len(found):
        return (text[: found[at].start] + text[found[at + 1].start :]).encode()
    begin = found[at - 1].end if at else found[at].start
    return (text[:begin] + text[found[at].end :]).encode()


def members(text: str) -> list[Member]:
    """The members of the object that `text` holds, which is JSON, in their order."""
    found = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        name, after_name = _DECODER.raw_decode(text, at)
        value_start = _skip(text, _skip(text, after_name) + 1)
        end = _DECODER.raw_decode(text, value_start)[1]
        found.append(Member(name, at, value_start, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    """The next place behind white space."""
    match = _BLANKS.match(text, at)
    return match.end() if match else at
