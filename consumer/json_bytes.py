"""JSON as other people's programs write it: with a byte order mark, half an emoji, or a name that stands twice."""

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Members = Sequence[tuple[str, Any]]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(b"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
"""An escaped half of a surrogate pair that stands alone."""
_HALF_IN_TEXT = re.compile("[\ud800-\udfff]")
_BLANK = " \t\n\r"
_BLANKS = re.compile(f"[{_BLANK}]*")
_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}:]', re.DOTALL)
_AS_WRITTEN: dict[str, Any] = {"parse_int": str, "parse_float": str, "parse_constant": str, "strict": False}
"""Of more than 4,300 digits Python refuses to read numbers."""
_DECODER = json.JSONDecoder(**_AS_WRITTEN)
"""Python's, because it tells where a value ends."""


class Member(NamedTuple):
    """Where a member of the outermost object stands in the text: from its name's quotation mark at `start`, its value
    from `value_start`, up to `end`."""

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
        mended = with_whole_characters(value)
        if mended == value:
            raise
    return validate(mended), mended


def with_whole_characters(value: bytes) -> bytes:
    """JSON with U+FFFD in the place of each half of a surrogate pair that stands alone.

    Escaped backslashes stand aside meanwhile as NULs, which JSON has none of, so that they begin no escape.
    """
    if b"\0" in value:
        return value
    return _HALF.sub(rb"\\ufffd", value.replace(rb"\\", b"\0\0")).replace(b"\0\0", rb"\\")


def whole_text(text: str) -> str:
    """The text with U+FFFD in the place of each half of a surrogate pair, as Python's decoder leaves them."""
    return _HALF_IN_TEXT.sub("\ufffd", text)


class Once:
    """Names of members, of ASCII letters, of which each may stand once in the outermost object of a JSON text."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._plain = [f'"{name}"'.encode() for name in names]
        spelled = ("".join(f"(?:{letter}|\\\\u00{ord(letter):02x})" for letter in name) for name in names)
        self._escaped = re.compile(f'"(?:{"|".join(spelled)})"'.encode(), re.IGNORECASE)

    def check(self, value: bytes) -> None:
        """Raise `DoubledMemberError` where `value`, which is a JSON object, has one of the names twice.

        Its members are gone through only where its bytes have a name twice, at any depth, or escaped: others take
        0.3 µs.
        """
        if max(map(value.count, self._plain)) <= 1 and not (
            b"\\u00" in value and any(b"\\" in name for name in self._escaped.findall(value))
        ):
            return
        seen = set()
        for name in _outermost_names(value.decode()):
            if name in seen and name in self._names:
                raise DoubledMemberError(name)
            seen.add(name)


def _outermost_names(text: str) -> Iterator[str]:
    """The names in the outermost object, each as often as it stands there. Nothing is made of the values, and other
    threads have their turn meanwhile, which Python's decoder does not let them."""
    depth, string = 0, ""
    for token in _STRUCTURE.finditer(text):
        kind = token[0][0]
        if kind in "{[":
            depth += 1
        elif kind in "}]":
            depth -= 1
        elif depth == 1 and kind == ":":
            yield _DECODER.decode(string)
        else:
            string = token[0]


def refuse_any_doubled(value: bytes) -> None:
    """Raise `DoubledMemberError` where an object anywhere in `value`, which is JSON, has a name twice: 600,000 members
    take 0.3 s."""
    json.JSONDecoder(object_pairs_hook=refuse_doubled_member, **_AS_WRITTEN).decode(value.decode())


def refuse_doubled_member(members: Members, names: Container[str] | None = None) -> None:
    """Raise `DoubledMemberError` where the members of an object have one of these names twice, or any."""
    counts = Counter(name for name, _ in members)
    if len(counts) < len(members):
        for name, count in counts.items():
            if count > 1 and (names is None or name in names):
                raise DoubledMemberError(name)


def without_member(value: bytes, name: str) -> bytes:
    """The JSON object in `value` without its member `name`, which stands in it once; all other bytes stay."""
    text = value.decode()
    cut = member(text, name)
    behind = _skip(text, cut.end)
    if text[behind] == ",":
        return (text[: cut.start] + text[_skip(text, behind + 1) :]).encode()
    before = text[: cut.start]
    if (without_blank := before.rstrip(_BLANK)).endswith(","):
        before = without_blank[:-1]
    return (before + text[cut.end :]).encode()


def member(text: str, name: str) -> Member:
    """Where the member `name` stands, of ASCII letters and once in the object that `text` holds, which is JSON.

    Where its name stands once in all the text and nothing is escaped that may be a letter, that is the place: within a
    string its quotation marks would be escaped. Else the members are gone through.
    """
    quoted = f'"{name}"'
    if text.count(quoted) == 1 and "\\u00" not in text:
        return _member_at(text, text.index(quoted))[1]
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        found, place = _member_at(text, at)
        if found == name:
            return place
        at = _skip(text, place.end)
        at = _skip(text, at + 1) if text[at] == "," else at
    raise KeyError(name)


def _member_at(text: str, at: int) -> tuple[str, Member]:
    name, after_name = _DECODER.raw_decode(text, at)
    value_start = _skip(text, _skip(text, after_name) + 1)
    return name, Member(at, value_start, _DECODER.raw_decode(text, value_start)[1])


def _skip(text: str, at: int) -> int:
    """The next place behind white space."""
    match = _BLANKS.match(text, at)
    return match.end() if match else at
