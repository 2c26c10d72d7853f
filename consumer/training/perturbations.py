"""What people do to words to get past a filter, or by haste: text in, disguised text out, still readable to a person.

Each is a pure function of a text and a random number generator. All but upper case touch at most three words that
carry meaning (no stop words, links, mentions or hashtags), so that a reader would still give the same label; a text
without such words comes back as it is.
"""

import random
import re
from collections.abc import Callable

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # type: ignore[import-untyped]

_MOST_WORDS = 3
_TYPO_SHARE = 0.1  # of the words
# A word with nothing but punctuation around it: links, mentions, hashtags, entities and contractions are none.
_WORD = re.compile(r"(?<!\S)[\"'(*]*([A-Za-z]{3,})[.,!?;:\"')*]*(?!\S)")

_LEET = {"a": "4@", "e": "3", "i": "1", "o": "0", "s": "5$", "t": "7"}
_CYRILLIC = dict(zip("aeopcyxisjABEKMHOPCTX", "аеорсухіѕјАВЕКМНОРСТХ", strict=True))
_GREEK = dict(zip("aeoivuxkABEZHIKMNOPTYX", "αεοινυχκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", strict=True))
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_SEPARATORS = " .-*_"
_NEUTRAL_EMOJI = "📌🔁📎🕒🚌🌍🧵📷🔹📅"  # a smile could rightly change the sentiment

Perturbation = Callable[[str, random.Random], str]


def leetspeak(text: str, chance: random.Random) -> str:
    """Write letters inside words as digits and signs: "1d10t"."""
    return _change_words(text, chance, lambda word: _swap_letters(word, _LEET, chance))


def spacing(text: str, chance: random.Random) -> str:
    """Write words letter by letter: "i d i o t", "i.d.i.o.t"."""
    return _change_words(text, chance, lambda word: chance.choice(_SEPARATORS).join(word))


def homoglyphs(text: str, chance: random.Random) -> str:
    """Replace Latin letters by Cyrillic ones that look the same."""
    return _change_words(text, chance, lambda word: _swap_letters(word, _CYRILLIC, chance))


def zero_width(text: str, chance: random.Random) -> str:
    """Put a character that nobody sees into words."""
    return _change_words(text, chance, lambda word: _insert(word, chance.choice(_INVISIBLE), chance))


def repeated_letters(text: str, chance: random.Random) -> str:
    """Draw a letter of a word out: "idiooot"."""

    def drawn_out(word: str) -> str:
        at = chance.randrange(1, len(word))
        return word[:at] + word[at] * chance.randint(2, 5) + word[at:]

    return _change_words(text, chance, drawn_out)


def emoji(text: str, chance: random.Random) -> str:
    """Append an emoji without feeling, and put others between words."""
    tokens = text.split()
    for _ in range(min(_MOST_WORDS - 1, len(tokens) - 1)):
        tokens.insert(chance.randrange(1, len(tokens)), chance.choice(_NEUTRAL_EMOJI))
    return " ".join([*tokens, chance.choice(_NEUTRAL_EMOJI)])


def mixed_scripts(text: str, chance: random.Random) -> str:
    """Write words in full-width or mathematical letters, or with Greek look-alikes among the Latin ones."""

    def in_other_script(word: str) -> str:
        style = chance.choice(("full width", "mathematical", "greek"))
        if style == "greek":
            return _swap_letters(word, _GREEK, chance)
        small, capital = (0xFF41, 0xFF21) if style == "full width" else (0x1D41A, 0x1D400)
        return "".join(chr(ord(c) - ord("a") + small if c.islower() else ord(c) - ord("A") + capital) for c in word)

    return _change_words(text, chance, in_other_script)


def all_caps(text: str, chance: random.Random) -> str:  # noqa: ARG001 - every perturbation is called alike
    """Shout."""
    return text.upper()


def typos(text: str, chance: random.Random) -> str:
    """Swap, drop or double a letter in a tenth of the words, in one at least."""

    def mistyped(word: str) -> str:
        at = chance.randrange(1, len(word) - 1)
        replacement = chance.choice((word[at + 1] + word[at], word[at + 1], word[at] + word[at : at + 2]))
        return word[:at] + replacement + word[at + 2 :]

    return _change_words(text, chance, mistyped, most=max(1, round(_TYPO_SHARE * len(text.split()))))


PERTURBATIONS: dict[str, Perturbation] = {
    "leetspeak": leetspeak,
    "s p a c i n g": spacing,
    "homoglyphs": homoglyphs,
    "zero-width characters": zero_width,
    "repeated letters": repeated_letters,
    "emoji": emoji,
    "mixed scripts": mixed_scripts,
    "all caps": all_caps,
    "typos": typos,
}


def perturbed(name: str, text: str, seed: int) -> str:
    """Return `text` under the perturbation of that name; equal arguments give equal texts."""
    return PERTURBATIONS[name](text, random.Random(f"{seed} {name} {text}"))  # noqa: S311 - not a secret


def _change_words(text: str, chance: random.Random, change: Callable[[str], str], most: int = _MOST_WORDS) -> str:
    spans = [word.span(1) for word in _WORD.finditer(text) if word[1].lower() not in ENGLISH_STOP_WORDS]
    for start, end in sorted(chance.sample(spans, min(most, len(spans))), reverse=True):
        text = text[:start] + change(text[start:end]) + text[end:]
    return text


def _swap_letters(word: str, alphabet: dict[str, str], chance: random.Random) -> str:
    """Replace about two thirds of the letters that the alphabet has another form for, and one at least."""
    places = [index for index, letter in enumerate(word) if letter in alphabet]
    letters = list(word)
    for index in chance.sample(places, -(-2 * len(places) // 3)):
        letters[index] = chance.choice(alphabet[word[index]])
    return "".join(letters)


def _insert(word: str, sign: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(word))
    return word[:at] + sign + word[at:]
