"""The text cleaning that training and the live stream share.

What a model learned holds only for texts cleaned the same way, so the version below is stored with every model.
"""

import html
import re
import unicodedata

import emoji

from consumer.model.disguise import undisguise

CLEANING_VERSION = 2
"""Raised by every change that alters what `clean` returns for some text."""

_MAX_CHARACTERS = 10_000  # as many as a comment may have, and far more than a model reads
_MAX_PASSES = 4  # nesting beyond two levels is an attack, not a comment

_NEEDS_WORK = re.compile(r"[^ -~]|&|\\u|@(?!user\b)|https?://|\bwww\.|  |\A | \Z", re.IGNORECASE)
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_LINK = re.compile(r"(?:https?://|\bwww\.)\S*", re.IGNORECASE)
# A row of mentions says no more than one does, and some replies begin with fifty of them.
_MENTIONS = re.compile(r"(?<![\w@])@\w+(?:\s+@\w+)*")
_REPEATED_EMOJI = re.compile(r"([\u2600-\u27bf\U0001f300-\U0001faff])\1+")
# Only these runs are given to the emoji library, which walks its input character by character.
_EMOJI_RUN = re.compile(r"[#*0-9]\u20e3|[\xa9\xae\u200d\u2122-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]+")
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are not white space
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    r"\U0001f3fb-\U0001f3ff"  # skin tones: the same face must get the same tags
    r"\U000e0000-\U000e0fff"  # tags and variation selectors
    r"\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]"  # lone surrogates and private use
)
_JOINER = "\u200d"  # kept until emoji are words: it joins several emoji to one


def clean(text: str) -> str:
    """Return `text` as the model reads it; empty when nothing readable is left. Never raises, and is idempotent.

    Entities and literal `\\uXXXX` escapes become characters, compatibility forms (full width, mathematical letters,
    ligatures) plain ones (NFKC), links "http", mentions "@user" and emoji their names, because a BERT vocabulary
    has none; invisible characters go, words in disguise are written plainly (`disguise`) and white space is collapsed.
    """
    for _ in range(_MAX_PASSES):
        cleaned = _clean_once(text) if _NEEDS_WORK.search(text) else undisguise(text)
        if cleaned == text:
            return text
        text = cleaned
    # Escapes nested deeper than that stay unread: without these two characters nothing unfolds any more.
    text = text.replace("&", " ").replace("\\", " ")
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def _clean_once(text: str) -> str:
    if "\\u" in text:
        text = _ESCAPES.sub(_unescape, text)
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = _plain(text)
    elif not text.isprintable():
        text = _INVISIBLE.sub("", text)
    text = _LINK.sub("http", text)
    if "@" in text:
        text = _MENTIONS.sub("@user", text)
    # Before blanks are collapsed: two of them part "s p a c e d  o u t" into words.
    return " ".join(undisguise(text).split())


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)[:_MAX_CHARACTERS]  # one character can become eighteen
    text = _INVISIBLE.sub(lambda match: _JOINER if match[0] == _JOINER else "", text)
    text = _EMOJI_RUN.sub(_name_run, _REPEATED_EMOJI.sub(r"\1", text))
    return text.replace(_JOINER, "")[:_MAX_CHARACTERS]


def _name_run(match: re.Match[str]) -> str:
    return emoji.replace_emoji(match[0], _name)


def _name(_emoji: str, data: dict[str, str]) -> str:
    return f" {data['en'].strip(':').replace('_', ' ')} "


def _unescape(match: re.Match[str]) -> str:
    """Decode a run of escapes at once: an emoji is written as two of them."""
    return bytes.fromhex(match[0].replace("\\u", "")).decode("utf-16-be", errors="ignore")
