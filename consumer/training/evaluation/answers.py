"""What a model said about the rows of one tag group, as arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.training.data import LABELS, Row
from consumer.training.predict import Prediction, label_of

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """The rows that carry a label of one tag group and got an answer.

    `wanted` and `predicted` hold an index into `labels` per row. `scores` has the shape (rows, labels); a label the
    model does not know has score 0.
    """

    labels: tuple[str, ...]
    rows: list[Row]
    wanted: Integers
    predicted: Integers
    scores: Floats

    def part(self, positions: Sequence[int]) -> "Answers":
        """Return the answers to the rows at these positions."""
        rows = [self.rows[position] for position in positions]
        chosen = np.asarray(positions, dtype=np.int64)
        return Answers(self.labels, rows, self.wanted[chosen], self.predicted[chosen], self.scores[chosen])

    def confusion(self) -> Integers:
        """Return the counts, shape (labels, labels): the wanted label down, the predicted one across."""
        width = len(self.labels)
        return np.bincount(self.wanted * width + self.predicted, minlength=width**2).reshape(width, width)


def answers_by_group(predictions: Sequence[Prediction]) -> dict[str, Answers]:
    """Return the answers per tag group that has any, in the order of `LABELS`."""
    by_group = {}
    for group, known in LABELS.items():
        measured = [(row, scores[group]) for row, scores in predictions if group in row.labels and group in scores]
        if not measured:
            continue
        tags = [label_of(scores) for _, scores in measured]
        labels = (*known, *sorted(set(tags) - set(known)))  # a model may say "insult", which no row wants
        index = {label: position for position, label in enumerate(labels)}
        by_group[group] = Answers(
            labels,
            [row for row, _ in measured],
            np.array([index[row.labels[group]] for row, _ in measured]),
            np.array([index[tag] for tag in tags]),
            np.array([[scores.get(label, 0.0) for label in labels] for _, scores in measured]),
        )
    return by_group
