"""What a model says about labelled rows, through the engine the stream runs: same cleaning, truncation and dtype."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from consumer.answer import Unanswerable
from consumer.model import Engine
from consumer.one_text import of_one_text
from consumer.training.data import Row

_CHUNK_ROWS = 1024  # bounds the memory of tokenised texts, and is plenty to fill every micro-batch


class Prediction(NamedTuple):
    """A row and the model's scores for it: tag group → label → score; empty when the model could not answer."""

    row: Row
    scores: dict[str, dict[str, float]]


def predictions(
    engine: Engine, rows: Sequence[Row], on_progress: Callable[[int], None] | None = None
) -> list[Prediction]:
    """Return one prediction per row, in order; `on_progress` is told how many rows were just done."""
    predicted = []
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        texts = [of_one_text(engine.model_text, row.text, named="cleaning") for row in chunk]
        answers = iter(engine.classify([text for text in texts if not isinstance(text, Unanswerable)]))
        for row, text in zip(chunk, texts, strict=True):
            answer = text if isinstance(text, Unanswerable) else next(answers)
            scores = {} if isinstance(answer, Unanswerable) else engine.tag_groups.scores(answer)
            predicted.append(Prediction(row, scores))
        if on_progress:
            on_progress(len(chunk))
    return predicted


def label_of(scores: Mapping[str, float]) -> str:
    """Return the label with the highest score, the first of equals: what the tag says."""
    return max(scores, key=scores.__getitem__)
