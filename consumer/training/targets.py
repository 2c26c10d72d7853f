"""What a model is trained towards: the logits of its tag groups, the loss over labelled ones, the metrics on dev."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score  # type: ignore[import-untyped]
from torch.nn import functional
from transformers import EvalPrediction

from consumer.training.data import LABELS, Row
from consumer.training.errors import TrainingError

UNLABELLED = -100
"""The target of a row that has no label of a group; it adds nothing to loss and metrics."""


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


def targets_of(rows: Sequence[Row], *, class_weights: bool) -> list[Target]:
    """Return the targets that `rows` have labels for. With `class_weights` every label of a group weighs the same.

    Raises TrainingError when a group's rows all carry one label: there is nothing to tell apart.
    """
    targets: list[Target] = []
    column = 0
    for group, labels in LABELS.items():
        counts = Counter(row.labels[group] for row in rows if group in row.labels)
        if not counts:
            continue
        if len(counts) == 1:
            only = next(iter(counts))
            raise TrainingError(f'every {group} label of the training rows is "{only}"; add rows with another label')
        width = 1 if len(labels) == 2 else len(labels)
        mean = counts.total() / len(counts)
        weights = tuple(mean / counts[label] if class_weights and counts[label] else 1.0 for label in labels)
        targets.append(Target(group, labels, slice(column, column + width), weights))
        column += width
    return targets


def encode(row: Row, targets: Sequence[Target]) -> list[int]:
    """Return the row's label index per target, `UNLABELLED` where it has none."""
    return [
        target.labels.index(row.labels[target.group]) if target.group in row.labels else UNLABELLED
        for target in targets
    ]


def masked_loss(logits: torch.Tensor, labels: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
    """Return the mean loss per label that is there; logits (rows, columns), labels (rows, targets)."""
    logits = logits.float()
    total = logits.sum() * 0.0  # a batch without any label still has a gradient
    for index, target in enumerate(targets):
        labelled = labels[:, index] != UNLABELLED
        scores, wanted = logits[labelled, target.columns], labels[labelled, index]
        weights = torch.tensor(target.weights, device=logits.device)
        if target.is_sigmoid:
            losses = functional.binary_cross_entropy_with_logits(scores[:, 0], wanted.float(), reduction="none")
            total = total + (losses * weights[wanted]).sum()
        else:
            total = total + functional.cross_entropy(scores, wanted, weight=weights, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp(min=1)


def dev_metrics(prediction: EvalPrediction, targets: Sequence[Target]) -> dict[str, float]:
    """Return macro-F1 per group and, as `macro_f1`, their mean: what the best checkpoint is chosen by."""
    logits, labels = _array(prediction.predictions), _array(prediction.label_ids)
    scores = {}
    for index, target in enumerate(targets):
        labelled = labels[:, index] != UNLABELLED
        if not labelled.any():
            continue
        columns = logits[labelled, target.columns]
        predicted = columns[:, 0] > 0 if target.is_sigmoid else columns.argmax(axis=1)
        wanted = labels[labelled, index]
        scores[f"{target.group}_macro_f1"] = float(f1_score(wanted, predicted, average="macro", zero_division=0))
    return {**scores, "macro_f1": sum(scores.values()) / max(len(scores), 1)}


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value[0] if isinstance(value, tuple) else value)
