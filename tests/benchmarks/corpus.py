"""The texts that everything is measured with: the same ones in every run, as long as real comments are."""

from collections.abc import Iterator
from itertools import islice

from consumer.terminal.bench_texts import REMEMBERED, unique_texts, with_repeats

SEED = 7
REPEATED_SHARE = 0.9


def unique(count: int) -> list[str]:
    """Texts of which no two are alike."""
    return list(islice(unique_texts(SEED), count))


def repeated(count: int, streams: int = 1) -> list[str]:
    """As in a wave of spam: 500 new texts, then nine of ten are one of the last 500 new ones again. Of several streams,
    a text of each in turn; they have the first 500 in common, and repeat no other of another's: who reads thousands
    from one partition before the next, as Kafka gives them where they lie already, still meets nine of ten again."""
    first = list(islice(unique_texts(SEED), REMEMBERED))
    seeds = range(SEED + 1, SEED + 1 + streams)
    endless = [with_repeats(unique_texts(seed), REPEATED_SHARE, seed, first) for seed in seeds]
    return [*first[:count], *(next(endless[number % streams]) for number in range(REMEMBERED, count))]


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
