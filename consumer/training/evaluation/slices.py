"""Figures for parts of the rows: by source, by length and by script."""

import unicodedata
from collections.abc import Callable
from typing import Any

from consumer.training.data import Row
from consumer.training.evaluation.answers import Answers
from consumer.training.evaluation.intervals import intervals
from consumer.training.evaluation.measures import summary

NO_SOURCE = "(no source)"
LENGTHS = {"1-5": 5, "6-15": 15, "16-30": 30}
"""The most words of each slice; the last, "31+", has no end."""
SCRIPTS = ("Latin", "other", "mixed")


def slices(answers: Answers) -> dict[str, dict[str, Any]]:
    """Return the figures of every slice that has rows: the kind of slice, then its name."""
    by_source = _parts(answers, lambda row: row.source or NO_SOURCE)
    by_length = _parts(answers, lambda row: length(row.text))
    by_script = _parts(answers, lambda row: script(row.text))
    return {
        "source": {name: summary(by_source[name]) | {"intervals": intervals(by_source[name])} for name in by_source},
        "length": {name: summary(by_length[name]) for name in (*LENGTHS, "31+") if name in by_length},
        "script": {name: summary(by_script[name]) for name in SCRIPTS if name in by_script},
    }


def length(text: str) -> str:
    """Return the slice of a text by its number of words; an empty text counts among the shortest."""
    words = len(text.split())
    return next((name for name, most in LENGTHS.items() if words <= most), "31+")


def script(text: str) -> str:
    """Return "Latin" when all letters are, "other" when none is (or there are no letters), else "mixed"."""
    latin = {"LATIN" in unicodedata.name(character, "") for character in text if character.isalpha()}
    if latin == {True}:
        return "Latin"
    return "mixed" if True in latin else "other"


def _parts(answers: Answers, name: Callable[[Row], str]) -> dict[str, Answers]:
    positions: dict[str, list[int]] = {}
    for position, row in enumerate(answers.rows):
        positions.setdefault(name(row), []).append(position)
    return {part: answers.part(positions[part]) for part in sorted(positions)}
