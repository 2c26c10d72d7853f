"""The figures of one tag group."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score  # type: ignore[import-untyped]

from consumer.training.evaluation.answers import Answers, Floats, Integers

CALIBRATION_BINS = 15
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
POSITIVE = "toxic"
"""The label whose score a moderator's thresholds are compared with."""


class Figures(NamedTuple):
    """Accuracy, and precision, recall and F1 per label in the last axis; NaN for a label that no row wants."""

    accuracy: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    def macro(self) -> dict[str, Floats]:
        """Return the mean over the labels that rows want: SST-2 knows no neutral, so it is left out there."""
        return {name: np.nanmean(getattr(self, name), axis=-1) for name in ("precision", "recall", "f1")}


def figures(confusion: Integers) -> Figures:
    """Return the figures of confusion matrices of shape (..., labels, labels), wanted down and predicted across.

    A label that is never predicted has precision 0.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    wanted, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    unwanted = np.where(wanted > 0, 0.0, np.nan)
    return Figures(
        accuracy=hits.sum(axis=-1) / wanted.sum(axis=-1),
        precision=_share(hits, predicted) + unwanted,
        recall=_share(hits, wanted) + unwanted,
        f1=_share(2 * hits, wanted + predicted) + unwanted,
    )


def summary(answers: Answers) -> dict[str, Any]:
    """Return the number of rows, accuracy, and macro precision, recall and F1."""
    measured = figures(answers.confusion())
    macro = {name: float(value) for name, value in measured.macro().items()}
    return {"rows": len(answers.rows), "accuracy": float(measured.accuracy), "macro": macro}


def by_label(answers: Answers) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and the number of rows of every label that rows want."""
    confusion = answers.confusion()
    _, precision, recall, f1 = figures(confusion)
    rows = confusion.sum(axis=1)
    return {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(answers.labels, precision, recall, f1, rows, strict=True)
        if n
    }


def calibration(answers: Answers) -> dict[str, Any]:
    """Return the expected calibration error and the bins of a reliability diagram that hold rows.

    The confidence is the score of the predicted label, in 15 bins of equal width, each closed above (Guo et al. 2017,
    "On Calibration of Modern Neural Networks").
    """
    confidence = answers.scores.max(axis=1)
    correct = answers.wanted == answers.predicted
    bin_of_row = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    bins = []
    for index in np.unique(bin_of_row):
        inside = bin_of_row == index
        bins.append(
            {
                "from": index / CALIBRATION_BINS,
                "to": (index + 1) / CALIBRATION_BINS,
                "rows": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(correct[inside].mean()),
            }
        )
    gaps = [part["rows"] * abs(part["confidence"] - part["accuracy"]) for part in bins]
    return {"ece": float(sum(gaps) / len(confidence)), "bins": bins}


def ranking(answers: Answers) -> dict[str, float | None]:
    """Return ROC-AUC and average precision of the score of "toxic".

    Both are None for other tag groups and where the rows are all toxic or all not: there is nothing to rank.
    """
    if POSITIVE in answers.labels:
        positive = answers.labels.index(POSITIVE)
        wanted, scores = answers.wanted == positive, answers.scores[:, positive]
        if 0 < wanted.sum() < len(wanted):
            return {
                "roc_auc": float(roc_auc_score(wanted, scores)),
                "average_precision": float(average_precision_score(wanted, scores)),
            }
    return {"roc_auc": None, "average_precision": None}


def thresholds(answers: Answers) -> list[dict[str, float | None]]:
    """Return what a threshold on the score of "toxic" would do, from 0.05 to 0.95; empty for other tag groups.

    `share` is the part of all rows at or above it. What is undefined (precision where no row is) is None.
    """
    if POSITIVE not in answers.labels:
        return []
    positive = answers.labels.index(POSITIVE)
    toxic = answers.wanted == positive
    table = []
    for threshold in THRESHOLDS:
        above = answers.scores[:, positive] >= threshold
        table.append(
            {
                "threshold": threshold,
                "share": float(above.mean()),
                "precision": _mean(toxic[above]),
                "recall": _mean(above[toxic]),
                "false_positive_rate": _mean(above[~toxic]),
            }
        )
    return table


def _share(part: Floats, whole: Integers) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None
