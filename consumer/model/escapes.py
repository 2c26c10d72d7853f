"""Characters written as HTML entities or as literal `\\uXXXX` escapes."""

import html
import re
from html.entities import html5

_MOST = 1_000  # runs of each kind in one text; html.unescape would take 7 ms for 20,480 characters of "&a"

_ESCAPE_CHARACTERS = 6
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def _legacy_names() -> str:
    """Return a pattern of the names that need no semicolon, the longest first; by first letter, as there are 106."""
    tails: dict[str, list[str]] = {}
    for name in sorted(html5, key=len, reverse=True):
        if not name.endswith(";"):
            tails.setdefault(name[0], []).append(name[1:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in tails.items())


_LEGACY = re.compile(_legacy_names())
_ENTITY = re.compile(
    rf"&(?:#(?:(?P<decimal>[0-9]+)|[xX](?P<hexadecimal>[0-9a-fA-F]+));?|[A-Za-z][A-Za-z0-9]{{1,31}};|{_LEGACY.pattern})"
)
_LAST_CHARACTER_DIGITS = 7  # 1,114,111; Python refuses to read 4,301 digits, and any longer number is an error anyway


def unfolded(text: str) -> str:
    """Return `text` with its outermost entities and escapes as characters; what they say may be escaped again.

    Entities are read as `html.unescape` does. Those beyond the first thousand lose their sign and stay unread.
    """
    if "\\u" in text:
        text, count = _ESCAPES.subn(_characters, text, _MOST)
        if count == _MOST:
            text = text.replace("\\", " ")
    if "&" in text:
        text, count = _ENTITY.subn(_character, text, _MOST)
        if count == _MOST:
            text = text.replace("&", " ")
    return text


def _characters(run: re.Match[str]) -> str:
    """Decode a run of escapes at once: an emoji is written as two of them."""
    if len(run[0]) == _ESCAPE_CHARACTERS and run[0][2] not in "dD":  # one, and no half of two: this way is faster
        return chr(int(run[0][2:], 16))
    return bytes.fromhex(run[0].replace("\\u", "")).decode("utf-16-be", errors="ignore")


def _character(entity: re.Match[str]) -> str:
    decimal, hexadecimal = entity.groups()
    if decimal or hexadecimal:
        digits = (decimal or hexadecimal).lstrip("0")[: _LAST_CHARACTER_DIGITS + 1]
        number = int(digits or "0", 10 if decimal else 16)
        if 0x20 <= number < 0x7F or 0xA0 <= number < 0xD800 or number in (0x09, 0x0A):
            return chr(number)
        return html.unescape(f"&#{number};")  # a character of Windows, or none
    name = entity[0][1:]
    if name in html5:
        return html5[name]
    legacy = _LEGACY.match(name)  # "&notit;" is a "¬", then "it;"
    return html5[legacy[0]] + name[legacy.end() :] if legacy else entity[0]
