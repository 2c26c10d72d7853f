"""Texts to measure with: no two alike, and as long as comments are."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from random import Random

from consumer import demo_data

WORDS_MEDIAN, WORDS_SPREAD = 14, 0.75
"""Of a log-normal distribution: a mean of 18.5 words, as 95,953 public tweets and reviews with labels have it, and a
longer tail than tweets may have: a tenth is beyond 36 words, a hundredth beyond 80."""
MOST_WORDS = 500
SHORT_CHARACTERS = 300
"""Longer demo comments are there to be truncated; no site has so many of them."""
REMEMBERED = 500


def unique_texts(seed: int = 0) -> Iterator[str]:
    """Texts without end, the same ones for the same seed. Their words are the demo comments' in their order, from
    anywhere; each ends with a number of its own, so that no cache and no batch knows it."""
    chance = Random(seed)  # noqa: S311 - not for secrets
    words = 2 * [word for text in _short_demo_texts() for word in text.split()]
    number = 0
    while True:
        number += 1
        length = min(MOST_WORDS, max(1, round(chance.lognormvariate(0, WORDS_SPREAD) * WORDS_MEDIAN)))
        start = chance.randrange(len(words) // 2)
        picked = words[start : start + length - 1]
        yield " ".join([*picked, f"{seed}.{number}"])


def with_repeats(texts: Iterator[str], share: float, seed: int = 0, before: Sequence[str] = ()) -> Iterator[str]:
    """`texts`, but this share of them (0 to 1) is one of the last `REMEMBERED` new ones again, of which the latest were
    those `before`.

    Until there have been `REMEMBERED`, all are new.
    """
    chance = Random(seed)  # noqa: S311 - not for secrets
    recent: deque[str] = deque(before, maxlen=REMEMBERED)
    while True:
        if len(recent) == REMEMBERED and chance.random() < share:
            yield recent[chance.randrange(REMEMBERED)]
        else:
            recent.append(next(texts))
            yield recent[-1]


def _short_demo_texts() -> list[str]:
    texts = (str(json.loads(value)["text"]) for value in demo_data.comments())
    return list(dict.fromkeys(text for text in texts if text.isascii() and len(text) <= SHORT_CHARACTERS))
