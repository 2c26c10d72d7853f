"""Words in disguise, written plainly: i d i o t, 1d10t, sh1t, looooser, and Latin words with foreign look-alikes.

A word piece vocabulary has none of these forms, so a model reads rubble where a reader sees the word. Each rule asks
for evidence inside the word itself, so ordinary texts stay as they are: of 90,457 labelled tweets and reviews 3 %
change at all, most of them by a drawn-out word such as "sooo".
"""

import re
from itertools import islice
from string import ascii_letters

_MOST = 300
"""Places where one rule reads each word by itself. A text with more is none that a person wrote: there the rule takes
all words alike, in a fraction of the time."""

# At least three separators of one kind between single characters: "e.g." and "3-2" are no disguise, "i d i o t" is.
_SPACED = re.compile(r"(?<![\w.*_-])[^\W\d_](?P<separator>[ .*_-])(?:[^\W_](?P=separator)){2,}[^\W_](?![\w*_(-])")
_SPACED_HINT = re.compile(r"[ .*_-]\w[ .*_-]\w[ .*_-]")
_DRAWN_OUT = re.compile(r"([A-Za-z])\1\1+")
_DOUBLED_INSIDE = frozenset("bcdefglmnoprstz")
"""Letters that English doubles inside a word: "goooood" is good, but "fuuuck" is no double u."""
_DOUBLED_AT_END = frozenset("fl")

_NUMERALS = frozenset("IVXLCDM")

_LEET = str.maketrans("013457@$", "oieastas")
# A digit must stand between letters, as "4u" and "gr8" are spellings of their own; where one does, those at the
# word's ends are read too. In small letters only, and from four on: H1B, C3PO and w3c are names.
_LEET_WORD = re.compile(
    r"(?<![\w@#/$.])(?=[\w@$]{4})(?!mp[34]|m4[av]|log4|neo4|md5|sha1|l10n|i18n)(?:[013457@$](?=[a-z]+[013457@$]))?[A-Z]?[a-z]*"
    r"(?:(?<=[A-Za-z])(?:[013457]{1,2}|[@$]{1,2})[a-z]+)+[013457@$]{0,2}(?![\w@/$]|\.\w)"
)
_LEET_HINT = re.compile(r"[013457@$](?<=[A-Za-z].)[013457@$]?[a-z]")
# "f@ggot" is a disguise; "lame@user" is a mention without its blank, "me@localhost" an address.
_AT_AS_A = re.compile(r"[a-z]{1,3}@(?!user\b)[a-z]{1,6}", re.IGNORECASE)

_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕԁһкмнтвгАЕОРСУХІЈЅКМНТВαεορυνικτχΑΒΕΖΗΙΚΜΝΟΡΤΥΧɡɑɩ",
    "aeopcyxijsdhkmhtbrAEOPCYXIJSKMHTBaeopuviktxABEZHIKMNOPTYXgai",
)
"""Cyrillic, Greek and other letters drawn like Latin ones (a subset of Unicode's confusables.txt, UTS 39)."""
_LIKE_LATIN = "".join(map(chr, _LOOK_ALIKES))
_MIXED_HINT = re.compile(f"[{_LIKE_LATIN}](?:[A-Za-z]|(?<=[A-Za-z].))")
_MIXED_WORD = re.compile(  # of both, and of nothing else: a wholly Russian or Greek word is no disguise
    rf"(?<![^\W\d_])(?=[{_LIKE_LATIN}]*[A-Za-z])(?=[A-Za-z]*[{_LIKE_LATIN}])[A-Za-z{_LIKE_LATIN}]+(?![^\W\d_])"
)


def undisguise(text: str) -> str:
    """Return `text` with disguised words written plainly. Never raises; a text without any comes back as it is."""
    # The hints cost a third of the rules themselves, and nearly every text stops at them.
    if not text.isascii() and _MIXED_HINT.search(text):
        text = _in_latin(text)
    if _SPACED_HINT.search(text):
        text = _SPACED.sub(_joined, text)
    text = _without_drawn_out(text)
    if _LEET_HINT.search(text):
        text = _without_leet(text)
    if " n't" in text or "rb-" in text.lower():
        text = _RIGHT_BRACKET.sub(")", _LEFT_BRACKET.sub("(", _APART.sub("n't", text)))
    return text


# Penn Treebank spelling, as in tokenised corpora: a model must meet the same "doesn't" there and in comments.
_APART = re.compile(r" (?<=[a-z] )n't\b", re.IGNORECASE)
_LEFT_BRACKET = re.compile("-lrb-", re.IGNORECASE)
_RIGHT_BRACKET = re.compile("-rrb-", re.IGNORECASE)


def _in_latin(text: str) -> str:
    latin, count = _MIXED_WORD.subn(lambda word: word[0].translate(_LOOK_ALIKES), text, _MOST)
    return text.translate(_LOOK_ALIKES) if count == _MOST else latin


def _without_leet(text: str) -> str:
    """Read each word with a hint; looking for words where none is would take 1.7 ms for the longest text."""
    hints = list(islice(_LEET_HINT.finditer(text), _MOST))
    if len(hints) == _MOST:
        return text.translate(_LEET)
    parts, done = list[str](), 0
    for hint in hints:
        if hint.start() >= done:
            start = max(done, text.rfind(" ", done, hint.start()))
            end = text.find(" ", hint.end())
            end = len(text) if end < 0 else end
            parts += text[done:start], _LEET_WORD.sub(_with_letters, text[start:end])
            done = end
    return "".join([*parts, text[done:]])


def _with_letters(word: re.Match[str]) -> str:
    return word[0] if "@" in word[0] and not _AT_AS_A.fullmatch(word[0]) else word[0].translate(_LEET)


def _joined(match: re.Match[str]) -> str:
    return match[0].replace(match["separator"], "")


def _without_drawn_out(text: str) -> str:
    short, count = _DRAWN_OUT.subn(_shortened, text, _MOST)
    if count < _MOST:
        return short
    for letter in ascii_letters:
        while letter * 3 in text:
            text = text.replace(letter * 3, letter)
    return text


def _shortened(run: re.Match[str]) -> str:
    """Shorten a run of one letter to what English writes there: "sooo" is so, "helllo" hello, "killll" kill."""
    letter = run[0][0]
    before, after = run.string[run.start() - 1 : run.start()], run.string[run.end() : run.end() + 1]
    if not (before.isalpha() or after.isalpha()) or (len(run[0]) == 3 and letter in _NUMERALS):
        return run[0][:3]  # "xxx", "III", "aaa" and "VIII" are words of their own
    doubled = _DOUBLED_INSIDE if after.isalpha() else _DOUBLED_AT_END
    return letter * 2 if letter.lower() in doubled else letter
