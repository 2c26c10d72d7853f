"""Emoji as words, by the names that the emoji library knows, for text without skin tones and variation selectors.

The library's own `replace_emoji` takes the square of a text's joiners (0.3 s for 5,000), so its table is walked here.
Both find the same emoji in the same text.
"""

import re
from collections.abc import Callable

import emoji

JOINER = "\u200d"
_LEFT_OUT = re.compile(r"[\ufe0f\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff]")  # what a cleaned text has no longer
_MOST = 500  # emoji that get their names, in one text

_NAMES = {
    sign: f" {data['en'].strip(':').replace('_', ' ')} "
    for sign, data in emoji.EMOJI_DATA.items()
    if not _LEFT_OUT.search(sign)
}
_BEGINNINGS = frozenset(sign[:end] for sign in _NAMES for end in range(1, len(sign) + 1))
# The emoji of the basic plane one by one, so that box drawing and Braille are none; beyond it hardly anything else is.
_FIRST = "".join(sorted({sign[0] for sign in _NAMES if "\x7f" < sign[0] < "\uffff"})) + "\U0001f000-\U0001faff"
_RUN = re.compile(f"[{_FIRST}][{_FIRST}{JOINER}]*")
_KEYCAP = re.compile("[#*0-9]\u20e3")
_REPEATED = re.compile(r"([\u2600-\u27bf\U0001f300-\U0001faff])\1+")


def named(text: str) -> str:
    """Return `text` with each emoji as its name between blanks, a row of the same as one; other joiners go.

    What comes after the first 500 characters of emoji is left out, as names are long.
    """
    left = _MOST

    def words(run: re.Match[str]) -> str:
        nonlocal left
        signs = run[0][:left]
        left -= len(signs)
        return _words(signs)

    text = _at_most(_RUN, words, _at_most(_REPEATED, _first, text))
    if "\u20e3" in text:
        text = _at_most(_KEYCAP, lambda sign: _NAMES[sign[0]], text)
    return text.replace(JOINER, "")


def _at_most(signs: re.Pattern[str], written: Callable[[re.Match[str]], str], text: str) -> str:
    """Replace what the pattern matches; what it matches later than 500 times is left out."""
    text, count = signs.subn(written, text, _MOST)
    return signs.sub("", text) if count == _MOST else text


def _first(row: re.Match[str]) -> str:
    return row[1]


def _words(signs: str) -> str:
    """Name the emoji of a run as the library does: along the longest beginning of any sequence, or the sign alone."""
    if signs in _NAMES:
        return _NAMES[signs]
    words, start = [], 0
    while start < len(signs):
        end = start + 1
        while end < len(signs) and signs[start : end + 1] in _BEGINNINGS:
            end += 1
        if signs[start:end] not in _NAMES:
            end = start + 1  # part of a sequence: what it joins stands alone
        words.append(_NAMES.get(signs[start:end], signs[start:end]))
        start = end
    return "".join(words)
