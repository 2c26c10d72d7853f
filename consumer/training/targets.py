"""What a model is trained towards: the logits of its tag groups, the loss over labelled ones, the metrics on dev."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score  # type: ignore[import-untyped]
from torch.nn import functional
from transformers import EvalPrediction

from consumer.training.data import LABELS, Row
from consumer.training.errors import TrainingError

UNLABELLED = -1.0
"""The target of every column of a group that a row has no label of; it adds nothing to loss and metrics."""


class Target(NamedTuple):
    """One tag group as the loss sees it: its labels, its columns among the logits, its weight per label."""

    group: str
    labels: tuple[str, ...]
    columns: slice
    weights: tuple[float, ...]

    @property
    def is_sigmoid(self) -> bool:
        """Whether one logit decides between two labels, instead of one logit per label."""
        return bool(self.columns.stop - self.columns.start == 1)


def targets_of(rows: Sequence[Row], *, class_weights: bool, groups: Sequence[str] = ()) -> list[Target]:
    """Return the targets that `rows` have labels for, and those of `groups` in any case (a model that is continued).

    With `class_weights` every label of a group weighs the same. Raises TrainingError when the rows of one of the
    groups all carry one label: there is nothing to tell apart.
    """
    targets: list[Target] = []
    column = 0
    for group, labels in LABELS.items():
        counts = Counter(row.labels[group] for row in rows if group in row.labels)
        if not counts and group not in groups:
            continue
        if len(counts) == 1 and group not in groups:
            only = next(iter(counts))
            raise TrainingError(f'every {group} label of the training rows is "{only}"; add rows with another label')
        width = 1 if len(labels) == 2 else len(labels)
        mean = counts.total() / max(len(counts), 1)
        weights = tuple(mean / counts[label] if class_weights and counts[label] else 1.0 for label in labels)
        targets.append(Target(group, labels, slice(column, column + width), weights))
        column += width
    return targets


def encode(
    row: Row, targets: Sequence[Target], guesses: Mapping[str, Mapping[str, float]] | None = None
) -> list[float]:
    """Return the wanted probability of every column; `UNLABELLED` in the columns of a group without a label.

    `guesses` (group → label → score, of a teacher) stand in for labels that the row lacks.
    """
    wanted: list[float] = []
    for target in targets:
        known = {row.labels[target.group]: 1.0} if target.group in row.labels else (guesses or {}).get(target.group)
        named = target.labels[1:] if target.is_sigmoid else target.labels
        wanted += [known.get(label, 0.0) if known else UNLABELLED for label in named]
    return wanted


def masked_loss(logits: torch.Tensor, wanted: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
    """Return the mean cross-entropy per label that is there; `logits` and `wanted` are (rows, columns)."""
    logits, wanted = logits.float(), wanted.float()
    total = logits.sum() * 0.0  # a batch without any label still has a gradient
    labels = 0
    for target in targets:
        labelled = wanted[:, target.columns.start] != UNLABELLED
        scores, parts = logits[labelled, target.columns], wanted[labelled, target.columns]
        weights = torch.tensor(target.weights, device=logits.device)
        if target.is_sigmoid:
            losses = functional.binary_cross_entropy_with_logits(scores, parts, reduction="none")
            total = total + (losses * (weights[1] * parts + weights[0] * (1 - parts))).sum()
        else:
            total = total - (weights * parts * scores.log_softmax(dim=1)).sum()
        labels += int(labelled.sum())
    return total / max(labels, 1)


def dev_metrics(prediction: EvalPrediction, targets: Sequence[Target], sources: Sequence[str]) -> dict[str, float]:
    """Return macro-F1 per group and, as `macro_f1`, the mean over sources: what the best checkpoint is chosen by.

    `sources` names the source of every row. Each counts the same, so that the largest does not choose alone, and only
    labels that a source has are averaged (SST-2 knows no neutral).
    """
    logits, wanted = _array(prediction.predictions), _array(prediction.label_ids)
    names = np.asarray(sources)
    by_group: dict[str, list[float]] = {}
    for target in targets:
        predicted, true = _labels(logits[:, target.columns], 0.0), _labels(wanted[:, target.columns], 0.5)
        for source in sorted(set(sources)):
            rows = (wanted[:, target.columns.start] != UNLABELLED) & (names == source)
            if rows.any():
                present = np.unique(true[rows])
                score = f1_score(true[rows], predicted[rows], labels=present, average="macro", zero_division=0)
                by_group.setdefault(target.group, []).append(float(score))
    scores = {f"{group}_macro_f1": sum(parts) / len(parts) for group, parts in by_group.items()}
    every = [score for parts in by_group.values() for score in parts]
    return {**scores, "macro_f1": sum(every) / max(len(every), 1)}


def _labels(columns: NDArray[Any], boundary: float) -> NDArray[Any]:
    """Return a label index per row: the highest of several columns, or whether the only one is above `boundary`."""
    return columns.argmax(axis=1) if columns.shape[1] > 1 else (columns[:, 0] > boundary).astype(int)


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value[0] if isinstance(value, tuple) else value)
