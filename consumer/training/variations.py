"""Training rows written in another way: with or without a mention or a link, or with disguised and mistyped words.

A model of tweets and reviews learns that "@user" and "http" mean a tweet, and so something about the labels. Rows that
carry the same labels either way teach it that they do not.
"""

import random
import re
from collections.abc import Sequence

from consumer.model.cleaning import clean
from consumer.training.data import Row
from consumer.training.perturbations import leetspeak, repeated_letters, spacing, typos

_MENTION = re.compile(r"^(?:RT )?@user:?\s+|\s+@user$")
_LINK = re.compile(r"\s*\bhttp$|^http\s+")


def varied(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """Return the rows, a `share` of them (0..1) each varied in one way; texts are clean before and after."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    return [
        row._replace(text=clean(chance.choice(_VARIATIONS)(row.text, chance)) or row.text)
        if chance.random() < share
        else row
        for row in rows
    ]


def _other_mention(text: str, _: random.Random) -> str:
    """Take a mention away from the beginning or the end; put one there where there is none."""
    without = _MENTION.sub("", text)
    return without if without != text else f"@user {text}"


def _other_link(text: str, _: random.Random) -> str:
    """Take a link away from the beginning or the end; put one at the end where there is none."""
    without = _LINK.sub("", text)
    return without if without != text else f"{text} http"


# Mentions and links twice: they are the ones that nearly every site has.
_VARIATIONS = (
    *(_other_mention, _other_link) * 2,
    leetspeak,
    repeated_letters,
    spacing,
    typos,
)
