"""Finding a model's temperatures and thresholds on held-out comments, through the engine the stream runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError
from scipy.optimize import minimize  # type: ignore[import-untyped]

from consumer.model.calibration import FILE_NAME, Calibration
from consumer.model.labels import TagGroup, TagGroups
from consumer.training.data import LABELS
from consumer.training.errors import TrainingError
from consumer.training.evaluation.answers import Answers, Floats, answers_by_group
from consumer.training.evaluation.measures import POSITIVE
from consumer.training.evaluation.measures import calibration as reliability
from consumer.training.predict import Prediction

MIN_ROWS = 50
LEAST_REJECT = 0.7
"""No threshold to reject stands lower: doubt about a text's language pulls scores to 0.5, and must not reject it."""

_LEAST_REJECTED_ROWS = 20  # a single sure row is no evidence
_LOG_TEMPERATURES = (-2.5, 2.5)  # exp: 0.08 to 12
_OFFSETS = (-10.0, 10.0)
_REVIEW_RANGE = (0.2, 0.8)
_SMALLEST_SCORE = 1e-12


class Calibrated(NamedTuple):
    """A calibration, and per group the expected calibration error before and after it."""

    calibration: Calibration
    errors: dict[str, tuple[float, float]]


def calibrate(groups: TagGroups, predicted: Sequence[Prediction], reject_precision: float) -> Calibrated:
    """Return a calibration from the predictions of a raw engine with `groups`.

    Per group the temperature with the least negative log-likelihood, which changes no label (Guo et al. 2017); for a
    group of one logit an offset too (Platt 1999), because class weights have moved the point where both labels are as
    likely. Review begins at the toxic score with the best F1; reject where at least `reject_precision` of the rows at
    or above are toxic. Precision depends on how common toxic rows are, so the rows should be like the site's.
    Raises TrainingError when no group has 50 rows of two labels.
    """
    temperatures, offsets, review, reject, errors = {}, {}, {}, {}, {}
    by_name = {group.name: group for group in groups.groups}
    for name, answers in answers_by_group(predicted).items():
        enough = len(answers.rows) >= MIN_ROWS and len(np.unique(answers.wanted)) > 1
        if not enough or not _has_one_answer(by_name[name]):
            continue
        temperature, offset = _fitted(answers, with_offset=by_name[name].activation == "sigmoid")
        temperatures[name] = round(temperature, 4)
        if by_name[name].activation == "sigmoid":
            offsets[name] = round(offset, 4)
        scores = _tempered(answers.scores, temperature, offset)
        tempered = answers._replace(scores=scores, predicted=scores.argmax(axis=1))
        errors[name] = (reliability(answers)["ece"], reliability(tempered)["ece"])
        if POSITIVE in answers.labels:
            label = f"{name}.{POSITIVE}"
            review[label], reject[label] = _thresholds(tempered, reject_precision)
    if not errors:
        raise TrainingError(
            f"no tag group has {MIN_ROWS} rows with two different labels; calibrate on more labelled comments"
        )
    return Calibrated(Calibration(temperatures=temperatures, offsets=offsets, review=review, reject=reject), errors)


def _has_one_answer(group: TagGroup) -> bool:
    """Whether the scores of the labels add up to one: competing logits, or one logit for the last of our two labels."""
    return group.activation == "softmax" or (len(group.columns) == 1 and group.labels == LABELS[group.name][1:])


def write_calibration(directory: Path, calibration: Calibration) -> Calibration:
    """Put the calibration into a model directory, in one step; return what stands there.

    What an earlier one says of groups that these rows have no labels of stays. Raises TrainingError.
    """
    path, partial = directory / FILE_NAME, directory / f".{FILE_NAME}"
    try:
        earlier = Calibration.model_validate_json(path.read_bytes()) if path.exists() else Calibration()
    except ValidationError:
        earlier = Calibration()  # a damaged one is what this replaces
    merged = Calibration.model_validate(
        {field: getattr(earlier, field) | getattr(calibration, field) for field in Calibration.model_fields}
    )
    try:
        partial.write_text(merged.model_dump_json(indent=2) + "\n")
        partial.replace(path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror}; calibrate a copy of the model") from error
    return merged


def _fitted(answers: Answers, *, with_offset: bool) -> tuple[float, float]:
    """Return the temperature and the offset of the last label's logit with the least negative log-likelihood."""
    rows = np.arange(len(answers.wanted))

    def loss(parameters: Floats) -> float:
        scores = _tempered(answers.scores, float(np.exp(parameters[0])), float(parameters[1]))
        return float(-np.log(np.maximum(scores[rows, answers.wanted], _SMALLEST_SCORE)).mean())

    bounds = (_LOG_TEMPERATURES, _OFFSETS if with_offset else (0.0, 0.0))
    found: Any = minimize(loss, (0.0, 0.0), bounds=bounds, method="L-BFGS-B")
    return float(np.exp(found.x[0])), float(found.x[1])


def _tempered(scores: Floats, temperature: float, offset: float) -> Floats:
    """Divide the logits behind the scores, which need not be known for it: p^(1/T), normalised; shift the last one."""
    powered: Floats = np.maximum(scores, _SMALLEST_SCORE) ** (1.0 / temperature)
    powered[:, -1] *= np.exp(offset)
    tempered: Floats = powered / powered.sum(axis=1, keepdims=True)
    return tempered


def _thresholds(answers: Answers, reject_precision: float) -> tuple[float, float]:
    positive = answers.labels.index(POSITIVE)
    toxic, scores = answers.wanted == positive, answers.scores[:, positive]
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(toxic[order])
    precision = hits / np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + toxic.sum())
    ranked = scores[order]
    inside = (ranked >= _REVIEW_RANGE[0]) & (ranked <= _REVIEW_RANGE[1])
    review = float(ranked[inside][f1[inside].argmax()]) if inside.any() else 0.5
    counted = np.arange(1, len(scores) + 1)
    sure = np.flatnonzero((precision >= reject_precision) & (counted >= _LEAST_REJECTED_ROWS))
    # Where no score is sure enough, only certainty itself is rejected.
    reject = max(float(ranked[sure[-1]]), LEAST_REJECT, review) if len(sure) else 1.0
    return round(review, 3), round(reject, 3)
