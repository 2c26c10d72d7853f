"""Labelled sentences made from templates, against what public comment sets teach wrong.

Those sets hold identity terms mostly inside abuse, threats mostly with a rude word, and few plain facts, so a model
learns that "gay" is toxic, that "I hope you die" is not, and that a timetable is bad news. The method (balanced
templates over identity terms) follows Dixon et al. 2018, "Measuring and Mitigating Unintended Bias in Text
Classification".
"""

import json
import random
import re
from functools import cache
from importlib.resources import files
from typing import Any

from consumer.training.data import Row

SOURCE = "counterexamples"

_SLOT = re.compile(r"\{(\w+)\}")
_BEFORE_VOWEL = re.compile(r"\ba(?= (?!Euro)[aeio])", re.IGNORECASE)
_TRIES_PER_ROW = 20  # a set of few templates may not have that many different sentences


def counterexamples(seed: int) -> list[Row]:
    """Return some thousand different sentences with both labels; the same `seed` gives the same ones."""
    content = template_file("counterexamples.json")
    chance = random.Random(seed)  # noqa: S311 - not a secret
    rows: dict[str, Row] = {}
    for part in content["sets"]:
        wanted = len(rows) + part["rows"]
        for _ in range(part["rows"] * _TRIES_PER_ROW):
            if len(rows) >= wanted:
                break
            text = fill(chance.choice(part["templates"]), content["fills"], chance)
            rows.setdefault(text, Row(text, dict(part["labels"]), SOURCE))
    return list(rows.values())


def fill(template: str, fills: dict[str, list[str]], chance: random.Random) -> str:
    """Return the template with every {slot} replaced by a random one of its fills, and a capital at the start."""
    text = _SLOT.sub(lambda slot: chance.choice(fills[slot[1]]), template)
    text = _BEFORE_VOWEL.sub("an", text)
    return text[:1].upper() + text[1:]


@cache
def template_file(name: str) -> dict[str, Any]:
    """Return one of the template files beside this module."""
    content: dict[str, Any] = json.loads((files("consumer.training") / "templates" / name).read_text(encoding="utf-8"))
    return content
