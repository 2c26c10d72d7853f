"""Whether a faster engine still says the same."""

from collections.abc import Sequence

Row = Sequence[float]
"""The logits of one text: negative, neutral, positive, toxic."""

EQUAL_ACCURACY = 0.995
"""The least agreement at which an engine counts as equally accurate."""


def agreement(scores: Sequence[Row], reference: Sequence[Row]) -> float:
    """The share of texts with the same sentiment and the same answer to "is it toxic?"."""
    same = [_labels(row) == _labels(other) for row, other in zip(scores, reference, strict=True)]
    return sum(same) / len(same)


def _labels(row: Row) -> tuple[int, bool]:
    sentiment = row[:3]
    return max(range(3), key=sentiment.__getitem__), row[3] > 0
