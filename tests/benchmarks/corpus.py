"""The texts that everything is measured with: the same ones in every run, as long as real comments are."""

from collections.abc import Iterator
from itertools import islice

from consumer.terminal.bench_texts import unique_texts, with_repeats

SEED = 7
REPEATED_SHARE = 0.9


def unique(count: int) -> list[str]:
    """Texts of which no two are alike."""
    return list(islice(unique_texts(SEED), count))


def repeated(count: int) -> list[str]:
    """A stream as in a wave of spam: nine of ten texts are one of the last 500 new ones again."""
    return list(islice(with_repeats(unique_texts(SEED), REPEATED_SHARE, SEED), count))


def of_characters(count: int, characters: int) -> list[str]:
    """Texts of exactly so many characters."""
    return [text[:characters] for text in _of_words(count, characters // 2 + 1)]  # no word is shorter than a letter


def of_words(count: int, words: int) -> list[str]:
    """Texts of exactly so many words."""
    return list(_of_words(count, words))


def _of_words(count: int, words: int) -> Iterator[str]:
    """Each begins with its number, so that no two are alike however short they are cut."""
    endless = (word for text in unique_texts(SEED) for word in text.split())
    return (" ".join([f"{number}", *islice(endless, words - 1)]) for number in range(count))
