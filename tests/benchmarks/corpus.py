"""The texts that everything is measured with: the same ones in every run, as long as real comments are."""

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
