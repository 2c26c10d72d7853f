"""Whether one model is really better than another, on the same rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest  # type: ignore[import-untyped]

from consumer.model import Engine
from consumer.training.data import LABELS, Row
from consumer.training.errors import TrainingError
from consumer.training.evaluation.intervals import interval, resamples
from consumer.training.evaluation.measures import figures
from consumer.training.predict import Prediction, label_of

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no real difference"
_SIGNIFICANCE = 0.05
_SHOWN_DISAGREEMENTS = 20


class _Pair(NamedTuple):
    """One row with the scores of one tag group by both models."""

    row: Row
    group: str
    model: dict[str, float]
    other: dict[str, float]

    def labels(self) -> tuple[str, str, str]:
        """Return the wanted label and the two answers."""
        return self.row.labels[self.group], label_of(self.model), label_of(self.other)


def compare(model: Sequence[Prediction], other: Sequence[Prediction], other_engine: Engine) -> dict[str, Any]:
    """Return per tag group how `model` does against `other`, and the comments on which they disagree most.

    Both answer the same rows in the same order; rows that one of them could not answer are left out.
    Raises TrainingError when no row has a label of a tag group of both.
    """
    pairs = [
        _Pair(ours.row, group, ours.scores[group], theirs.scores[group])
        for ours, theirs in zip(model, other, strict=True)
        for group in ours.row.labels
        if group in ours.scores and group in theirs.scores
    ]
    if not pairs:
        raise TrainingError(
            f"no row has a label of a tag group that {other_engine.name} shares with the measured model; "
            "choose rows with such labels, or another model to compare with"
        )
    return {
        "other": {"name": other_engine.name, "version": other_engine.version, "fingerprint": other_engine.fingerprint},
        "groups": {
            group: _compared(part) for group in LABELS if (part := [pair for pair in pairs if pair.group == group])
        },
        "disagreements": _disagreements(pairs),
    }


def gate(comparison: dict[str, Any]) -> None:
    """Raise TrainingError when the model is really worse than the other in any tag group of a comparison."""
    worse = [
        f"{group} (macro-F1 {measured['macro_f1']['model']:.3f} against {measured['macro_f1']['other']:.3f})"
        for group, measured in comparison["groups"].items()
        if measured["verdict"] == WORSE
    ]
    if worse:
        raise TrainingError(
            f"the model is really worse than {comparison['other']['name']} in {' and '.join(worse)}; "
            "keep that one, or train on and measure again"
        )


def _compared(pairs: Sequence[_Pair]) -> dict[str, Any]:
    named = [pair.labels() for pair in pairs]
    labels = sorted({label for triple in named for label in triple})
    cells = np.zeros((len(labels),) * 3, dtype=np.int64)
    for triple in named:
        cells[tuple(labels.index(label) for label in triple)] += 1
    resampled = resamples(cells)
    low, high = interval(_macro_f1(resampled, "model") - _macro_f1(resampled, "other"))
    f1_model, f1_other = float(_macro_f1(cells, "model")), float(_macro_f1(cells, "other"))
    only_model = sum(wanted == ours != theirs for wanted, ours, theirs in named)
    only_other = sum(wanted == theirs != ours for wanted, ours, theirs in named)
    p_value = _mcnemar(only_model, only_other)
    return {
        "rows": len(pairs),
        "macro_f1": {"model": f1_model, "other": f1_other},
        "difference": f1_model - f1_other,
        "interval": [low, high],
        "mcnemar": {"only_model_right": only_model, "only_other_right": only_other, "p": p_value},
        "verdict": _verdict(low, high, only_model - only_other, p_value),
    }


def _macro_f1(cells: Any, of: str) -> Any:
    """Return the macro-F1 of one model from counts by (wanted, the model's, the other's label), the last three axes."""
    return figures(cells.sum(axis=-1 if of == "model" else -2)).macro()["f1"]


def _mcnemar(only_model: int, only_other: int) -> float:
    """Return the p-value of McNemar's exact test: the rows on which only one is right, against a fair coin."""
    discordant = only_model + only_other
    return float(binomtest(only_model, discordant).pvalue) if discordant else 1.0


def _verdict(low: float, high: float, net_rows_won: int, p_value: float) -> str:
    """Both tests must find a difference, and in the same direction: macro-F1 and accuracy can part ways."""
    if p_value < _SIGNIFICANCE and low > 0 and net_rows_won > 0:
        return BETTER
    if p_value < _SIGNIFICANCE and high < 0 and net_rows_won < 0:
        return WORSE
    return NO_DIFFERENCE


def _disagreements(pairs: Sequence[_Pair]) -> list[dict[str, str]]:
    """Return the comments that the models label differently, those first whose wanted label's score moved most."""

    def moved(pair: _Pair) -> float:
        wanted = pair.row.labels[pair.group]
        return abs(pair.model.get(wanted, 0.0) - pair.other.get(wanted, 0.0))

    different = [pair for pair in pairs if label_of(pair.model) != label_of(pair.other)]
    different.sort(key=moved, reverse=True)
    shown = []
    for pair in different[:_SHOWN_DISAGREEMENTS]:
        wanted, ours, theirs = pair.labels()
        shown.append({"text": pair.row.text, "group": pair.group, "wanted": wanted, "model": ours, "other": theirs})
    return shown
