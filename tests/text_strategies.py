"""Hostile texts for hypothesis: whatever a comment can be made of to make a reader of texts raise, loop or crawl."""

import sys
import unicodedata
from collections.abc import Sequence
from html.entities import html5
from random import Random

import emoji
from hypothesis import strategies as st

from schemas import MAX_TEXT_CHARACTERS

JOINER = "\u200d"
_ZEROS = [chr(point) for point in range(sys.maxunicode + 1) if unicodedata.decimal(chr(point), None) == 0]
"""The zero of every script; its other digits follow it."""

NASTY_PIECES = (
    # entities: named, without their semicolon, nested, unknown; and their numbers
    "&", "&amp;", "&lt", "&notit;", "&a", "amp;", "&#", "&#x", "&#65;", "&#x41", "&amp;#65;", "&#128512;", "＆#65；",
    # escapes: nested, halves of a pair
    "\\", "\\u", "\\u0061", "\\u0026", "\\u005c", "\\u005cu0061", "\\ud83d", "\\ud83d\\ude00", "0026",
    # links and mentions
    "http://", "HTTPS://x.y", "www.", "://", "@", "@a", "@a ", "@user", "me@x.com",
    # words in disguise
    "a", "b", "i", "A", "x", "1", "0", "4", "$", "aaa", "aaab", "a1", "a1aa ", "1d10t ", "f@ggot ", "a$$", "i d i o t ",
    "a.b.c.d/", "а", "аa", "ѕо", "α", "я", "ı", "ß", "ς", "-lrb-", "rb-", " n't", "a n't",
    # signs and white space
    " ", ".", "-", "_", "*", "/", "#", "'", ";", "(", "\n", "\t", "\x00", "\x85", "\xa0", "\u2003", "\u2028", "…",
    # invisible characters, marks of direction, private use, unassigned, lone surrogates
    "\u200b", JOINER, "\u202e", "\u061c", "\ufeff", "\ue000", "\U000f0000", "\U0010ffff", "\u0378", "\U0001fbff",
    "\ud800", "\udc00", "\ud83d", "\ude00",
    # combining marks: ordinary, of many classes, and those that decompose or are slow to put in order
    "\u0301", "\u0316", "\u0327", "\u0345", "\u0344", "\u0f73", "\u05b0", "\u3099", "\u302e", "e\u0301", "\u1e69", "Å",
    # forms that NFKC changes, or makes up to eighteen characters of
    "\ufdfa", "\ufdfb", "\u3300", "\u3316", "ﬁ", "ａ", "１", "＆", "＃", "＠", "．", "𝓯", "½", "⑴", "ｶﾞ", "㏿", "İ", "Ǆ",
    # scripts without blanks, and Hangul in parts
    "中", "あ", "각", "ㄱ", "\u1100", "\u1161", "\u11a8", "ไ", "١", "१", "０", "𝟘", "²",
    # emoji: sequences, skin tones, flags, tags, keycaps, variation selectors, signs that are emoji only with one
    "😀", "🐂", "❤", "❤️", "☀", "™", "©", "〰", "─", "👍🏽", "👩‍👩‍👧‍👦", "🧑🏻‍❤️‍💋‍🧑🏼", "🙅🏽‍♂️", "🇬🇧", "🇬",
    "1️⃣", "\u20e3", "🏻", "\ufe0e", "\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U000e0067",
)  # fmt: skip
"""One of each kind, for searches through all their combinations."""

_hostile_characters = st.sampled_from(NASTY_PIECES) | st.characters(codec=None)  # no codec: lone surrogates too


@st.composite
def _numeric_references(draw: st.DrawFn) -> str:
    """`&#65;` with digits of any script, up to far beyond Python's limit for numbers, nested or without its end."""
    begin = draw(st.sampled_from(["&#", "&#x", "&#X", "&amp;#", "&amp;amp;#", "\\u0026#", "＆#", "＆＃", "&#38;#"]))
    zero = ord(draw(st.sampled_from(["0", "0", "０", *_ZEROS])))
    digits = draw(st.text(st.sampled_from([chr(zero + digit) for digit in range(10)]), min_size=1, max_size=8))
    times = draw(st.sampled_from([1, 1, 1, 30, 4300, 4301]))
    padding = draw(st.sampled_from(["", "", "0" * 50, "0" * 4301]))
    return begin + padding + digits * times + draw(st.sampled_from([";", "", "；", "&#59;"]))


@st.composite
def _escapes(draw: st.DrawFn) -> str:
    """Some of the text's own UTF-16 written as `\\uXXXX`, its halves apart or its backslashes escaped again."""
    units = st.integers(0, 0xFFFF) | st.sampled_from([0xD83D, 0xDE00, 0x26, 0x5C, 0x75, 0x200D, 0x61])
    written = "".join(f"\\u{unit:04x}" for unit in draw(st.lists(units, min_size=1, max_size=4)))
    return written.replace("\\", draw(st.sampled_from(["\\", "\\", "\\u005c", "\\u005cu005c", "&#92;", "\\\\"])))


_entities = st.builds(
    lambda begin, name, keep: f"{begin}{name if keep else name.rstrip(';')}",
    st.sampled_from(["&", "&amp;", "&amp;amp;", "\\u0026", "＆"]),
    st.sampled_from(sorted(html5)),
    st.booleans(),
)
_emoji = st.lists(st.sampled_from(sorted(emoji.EMOJI_DATA)), min_size=1, max_size=4).flatmap(
    lambda signs: st.sampled_from(["", JOINER, "\ufe0f", "\U0001f3fb", " "]).map(lambda between: between.join(signs))
)
_zalgo = st.builds(
    lambda base, marks, times: base + marks * times,
    st.sampled_from(["a", "", "中", "😀"]),
    st.text(st.sampled_from("\u0301\u0316\u0327\u0345\u0344\u0f73\u05b0\u302e\u3099"), min_size=1, max_size=4),
    st.sampled_from([1, 5, 40, 3000]),
)
_spaced = st.builds(
    lambda word, separator: separator.join(word),
    st.sampled_from(["idiot", "www.x.y", "1d10t", "&amp;", "\\u0061", "stuuupid", "@user"]),
    st.sampled_from([" ", ".", "-", "_", "*", "\u200b", JOINER]),
)
_pieces = st.one_of(_hostile_characters, _numeric_references(), _escapes(), _entities, _emoji, _zalgo, _spaced)
_short = st.lists(_pieces, max_size=12).map("".join)


def repeated(unit: str, before: str = "", after: str = "") -> str:
    """Return `unit` again and again between `before` and `after`, in all as long as the longest text that is read."""
    room = max(0, MAX_TEXT_CHARACTERS - len(before) - len(after))
    return f"{before}{(unit * (room // len(unit) + 1))[:room]}{after}" if unit else before + after


_repeated = st.builds(repeated, st.lists(_hostile_characters, min_size=1, max_size=4).map("".join), _short, _short)


def mixed(pieces: Sequence[str], seed: int) -> str:
    """Return the pieces in a random order, again and again, as long as the longest text that is read."""
    chance = Random(seed)
    weights = [chance.random() ** 3 for _ in pieces]
    return "".join(chance.choices(pieces, weights, k=MAX_TEXT_CHARACTERS))[:MAX_TEXT_CHARACTERS]


_mixed = st.builds(mixed, st.lists(_hostile_characters, min_size=2, max_size=10), st.integers(0, 2**32))


def texts() -> st.SearchStrategy[str]:
    """Any text, hostile ones above all; some are longer than what is read, some hold lone surrogates."""
    return st.one_of(_short, _short, _repeated, _mixed, st.text(st.characters(codec=None), max_size=40))
