"""The text cleaning that training and the live stream share.

What a model learned holds only for texts cleaned the same way, so the version below is stored with every model.
"""

import re
import unicodedata
from itertools import islice

from consumer.model.disguise import undisguise
from consumer.model.emoji_names import named
from consumer.model.escapes import unfolded
from schemas import MAX_TEXT_CHARACTERS

CLEANING_VERSION = 2
"""Raised by every change that alters what `clean` returns for some text that a person might write.

It stayed when limits came for what took long: they alter hostile texts alone, and those beyond 10,000 characters.
"""

_DEEPEST_NESTING = 4  # escapes nested beyond two levels are an attack, not a comment

_LINK = re.compile(r"[hHwW](?:(?<=[hH])[tT]{2}[pP][sS]?://|(?<!\w[wW])(?<=[wW])[wW]{2}\.)\S*")
# A row of mentions says no more than one does, and some replies begin with fifty of them.
_MENTION = re.compile(r"@(?![uU][sS][eE][rR]\b)")
_MENTIONS = re.compile(r"@(?<![\w@]@)\w+(?:\s+@\w+)*")
_INVISIBLE = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are not white space
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\ue000-\uf8ff"  # lone surrogates and private use, too
)
_OTHER_THAN_ASCII = re.compile(r"[^ -~\u0130\u0131\u017f\u212a]")  # these four are the same as ASCII letters to `re`
_NOT_SHOWN = re.compile(
    rf"[{_INVISIBLE}"
    r"\U0001f3fb-\U0001f3ff"  # skin tones: the same face must get the same tags
    r"\U000e0000-\U000e0fff"  # tags and variation selectors
    r"\U000f0000-\U0010ffff]"  # private use
)
# All of those and the emoji, and a little more: a hint.
_NO_LETTER = re.compile(
    rf"[{_INVISIBLE}\u20e3\xa9\xae\u200d\u2122-\u2bff\u3030-\u303d\u3297-\u3299\U0001f000-\U0010ffff]"
)
# What NFKC is slow at. It puts marks in order by insertion: 20,480 of them took 1.6 s. Thirty in a row are more than
# any language writes (Stream-Safe Text Format, UAX 15). And signs that stand for up to eighteen letters take 1 µs each.
_TWO_MARKS = {"\u0344": "\u0308\u0301", "\u0f73": "\u0f71\u0f72", "\u0f75": "\u0f71\u0f74", "\u0f81": "\u0f71\u0f80"}
_MARK = "".join(chr(point) for point in range(0x10000) if unicodedata.combining(chr(point))) + "\U00010000-\U0010ffff"
_MAYBE_MARKS = re.compile(f"[{_MARK}](?<![{_MARK}]{{2}})[{_MARK}]{{30,}}")
_MOST_MARKS = 30
_MARK_CLASSES = re.compile(rb"[^\0]{31,}")
_DENSE = re.compile("[\u3300-\u33ff\ufdf0-\ufdff\U0001d15e-\U0001d164\U0001d1bb-\U0001d1c0]")
_MOST_DENSE = 1_000


def clean(text: str) -> str:
    """Return the beginning of `text` as the model reads it; empty when nothing readable is left there.

    Never raises, is idempotent, and takes time in proportion to the text, of which it reads and returns no more than
    MAX_TEXT_CHARACTERS.

    Entities and literal `\\uXXXX` escapes become characters, compatibility forms (full width, mathematical letters,
    ligatures) plain ones (NFKC), links "http", mentions "@user" and emoji their names, because a BERT vocabulary
    has none; invisible characters go, words in disguise are written plainly (`disguise`) and white space is collapsed.
    """
    text, levels = text[:MAX_TEXT_CHARACTERS], _DEEPEST_NESTING
    undisguised = None
    while True:
        if _is_plain(text):
            cleaned = undisguise(text)
        else:
            read = text
            while levels and (inner := unfolded(read)) != read:
                read, levels = inner, levels - 1
            if not levels:
                # What is escaped deeper stays unread: without these two characters nothing unfolds any more.
                read = read.replace("&", " ").replace("\\", " ")
            read = _folded(read)
            # Before blanks are collapsed: two of them part "s p a c e d  o u t" into words.
            cleaned = read if read == undisguised else " ".join(undisguise(read).split())
            undisguised = cleaned if cleaned == read else None  # so that no text is looked through twice
        if cleaned == text:
            return text
        text = cleaned


def _is_plain(text: str) -> bool:
    """Whether `text` has nothing but disguises to write plainly, as most comments."""
    if not (text.isascii() and text.isprintable()) and _OTHER_THAN_ASCII.search(text):
        return False
    if "&" in text or "  " in text or text != text.strip(" "):
        return False
    small = text.lower()
    return not ("\\u" in small or ("@" in small and _MENTION.search(text)) or _has_link(text, small))


def _has_link(text: str, small: str) -> bool:
    return ("://" in small or "www." in small) and _LINK.search(text) is not None


def _folded(text: str) -> str:
    if not text.isascii():
        text = _plain(text)
    elif not text.isprintable():
        text = _NOT_SHOWN.sub("", text)
    if "://" in text or "www." in text.lower():
        text = _LINK.sub("http", text)
    if "@" in text:
        text = _MENTIONS.sub("@user", text)
    return text


def _plain(text: str) -> str:
    if not unicodedata.is_normalized("NFKC", text):
        for sign, marks in _TWO_MARKS.items():
            text = text.replace(sign, marks)
        text = _MAYBE_MARKS.sub(_with_fewer_marks, text)
        if len(text) > _MOST_DENSE and (last := next(islice(_DENSE.finditer(text), _MOST_DENSE - 1, None), None)):
            text = text[: last.end()] + _DENSE.sub("", text[last.end() :])
        text = unicodedata.normalize("NFKC", text)[:MAX_TEXT_CHARACTERS]
    if not (text.isascii() and text.isprintable()) and _NO_LETTER.search(text):
        text = named(_NOT_SHOWN.sub("", text))[:MAX_TEXT_CHARACTERS]
    return text


def _with_fewer_marks(run: re.Match[str]) -> str:
    classes = bytes(map(unicodedata.combining, run[0]))  # 0 for what is no mark
    kept, start = [], 0
    for marks in _MARK_CLASSES.finditer(classes):
        kept.append(run[0][start : marks.start() + _MOST_MARKS])
        start = marks.end()
    return "".join([*kept, run[0][start:]])
