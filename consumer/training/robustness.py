"""How much accuracy disguised and hasty writing costs a model, and how much of it the text cleaning wins back."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from consumer.answer import Unanswerable
from consumer.model import Engine
from consumer.training.data import LABELS, Row
from consumer.training.perturbations import PERTURBATIONS, perturbed
from consumer.training.predict import label_of

_MOST_ROWS = 500  # a group: accuracy to about two points, in seconds
_UNCHANGED = "none"


def measure_robustness(engine: Engine, rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Measure accuracy on at most 500 rows a tag group, as they are and under each perturbation.

    `perturbations`: per name and group the accuracy on the unchanged texts (`accuracy_clean`), on the changed ones
    (`accuracy`), the difference (`lost`), and what the changed ones would get without the text cleaning
    (`accuracy_without_cleaning`). The name "none" changes nothing: it shows what cleaning does to ordinary texts.
    `rows`: how many were drawn. The same `seed` draws and changes the same; a text the model fails on counts as wrong.
    """
    measured = []
    drawn = 0
    for group in LABELS:
        sample = _sample([row for row in rows if group in row.labels], seed)
        if not sample or group not in engine.tag_groups.label_names():
            continue
        drawn += len(sample)
        wanted = [row.labels[group] for row in sample]
        accuracy_clean = 0.0
        for name in (_UNCHANGED, *PERTURBATIONS):
            texts = [row.text if name == _UNCHANGED else perturbed(name, row.text, seed) for row in sample]
            accuracy = _accuracy(engine, group, wanted, [engine.model_text(text) for text in texts])
            if name == _UNCHANGED:
                accuracy_clean = accuracy
            measured.append(
                {
                    "name": name,
                    "group": group,
                    "accuracy_clean": accuracy_clean,
                    "accuracy": accuracy,
                    "lost": accuracy_clean - accuracy,
                    "accuracy_without_cleaning": _accuracy(engine, group, wanted, texts),
                }
            )
    return {"rows": drawn, "perturbations": measured}


def robustness_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Yield one table per tag group of a report of `measure_robustness`: a line per perturbation."""
    for group in dict.fromkeys(measured["group"] for measured in report["perturbations"]):
        table = Table("perturbation", "accuracy", "lost", "without cleaning", title=f"{group}: robustness")
        for measured in report["perturbations"]:
            if measured["group"] == group:
                figures = (measured[name] for name in ("accuracy", "lost", "accuracy_without_cleaning"))
                table.add_row(measured["name"], *(f"{figure:.3f}" for figure in figures))
        yield table


def _sample(rows: Sequence[Row], seed: int) -> list[Row]:
    chance = random.Random(seed)  # noqa: S311 - not a secret
    return chance.sample(rows, min(_MOST_ROWS, len(rows)))


def _accuracy(engine: Engine, group: str, wanted: Sequence[str], model_texts: Sequence[str]) -> float:
    answers = engine.classify(model_texts)
    right = (
        not isinstance(answer, Unanswerable) and label_of(engine.tag_groups.scores(answer)[group]) == label
        for answer, label in zip(answers, wanted, strict=True)
    )
    return sum(right) / len(wanted)
