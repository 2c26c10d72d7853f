"""Finding a model's temperatures and thresholds on held-out comments, through the engine the stream runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from consumer.model.calibration import FILE_NAME, Calibration
from consumer.model.labels import TagGroups
from consumer.training.errors import TrainingError
from consumer.training.evaluation.answers import Answers, Floats, answers_by_group
from consumer.training.evaluation.measures import calibration as reliability
from consumer.training.predict import Prediction

REVIEWED = "toxic"
"""The one label that a policy looks at by default, and so the one that gets thresholds."""

MIN_ROWS = 50
_LOG_TEMPERATURES = (-2.5, 2.5)  # exp: 0.08 to 12
_REVIEW_RANGE = (0.2, 0.8)
_SMALLEST_SCORE = 1e-12
_NO_PENALTY = 1e6
_FOREIGN = 0.1


class Calibrated(NamedTuple):
    """A calibration, and per group the expected calibration error before and after it."""

    calibration: Calibration
    errors: dict[str, tuple[float, float]]


def calibrate(
    groups: TagGroups, current: Calibration, predicted: Sequence[Prediction], reject_precision: float
) -> Calibrated:
    """Return a calibration from the predictions of an engine that runs with `groups` and `current`.

    Per group the one temperature with the least negative log-likelihood, which changes no label (Guo et al. 2017); for
    a group of one logit an offset too (Platt 1999), because class weights have moved the point where both labels are
    as likely. Comments in another language are left out: their scores are no longer the model's own.
    Review begins at the toxic score with the best F1; reject where at least `reject_precision` of the rows at or above
    are toxic. Precision depends on how common toxic rows are, so the rows should be like the site's.
    Raises TrainingError for fewer than 50 rows of every group.
    """
    temperatures, offsets = dict(current.temperatures), dict(current.offsets)
    review, reject, errors = {}, {}, {}
    one_logit = {group.name for group in groups.groups if len(group.columns) == 1}
    understood = [p for p in predicted if p.scores.get("language", {}).get("other", 0.0) < _FOREIGN]
    for group, answers in answers_by_group(understood).items():
        if len(answers.rows) < MIN_ROWS or len(np.unique(answers.wanted)) < 2:
            continue
        if group in one_logit:
            factor, shift = _platt(answers)
            offsets[group] = round(current.offsets.get(group, 0.0) / factor + shift, 4)
        else:
            factor, shift = _temperature(answers), 0.0
        temperatures[group] = round(current.temperatures.get(group, 1.0) * factor, 4)
        scores = _tempered(answers.scores, factor, shift)
        tempered = answers._replace(scores=scores, predicted=scores.argmax(axis=1))
        errors[group] = (reliability(answers)["ece"], reliability(tempered)["ece"])
        if REVIEWED in answers.labels:
            name = f"{group}.{REVIEWED}"
            review[name], reject[name] = _thresholds(tempered, reject_precision)
    if not errors:
        raise TrainingError(
            f"no tag group has {MIN_ROWS} rows with two different labels; calibrate on more labelled comments"
        )
    return Calibrated(Calibration(temperatures=temperatures, offsets=offsets, review=review, reject=reject), errors)


def write_calibration(directory: Path, calibration: Calibration) -> None:
    """Put the calibration into a model directory, in one step."""
    partial = directory / f".{FILE_NAME}"
    partial.write_text(calibration.model_dump_json(indent=2) + "\n")
    partial.replace(directory / FILE_NAME)


def _temperature(answers: Answers) -> float:
    rows = np.arange(len(answers.wanted))

    def loss(log_temperature: float) -> float:
        scores = _tempered(answers.scores, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scores[rows, answers.wanted], _SMALLEST_SCORE)).mean())

    found: Any = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))


def _tempered(scores: Floats, temperature: float, shift: float = 0.0) -> Floats:
    """Divide the logits behind the scores, which need not be known for it: p^(1/T), normalised; shift the last one."""
    powered: Floats = np.maximum(scores, _SMALLEST_SCORE) ** (1.0 / temperature)
    powered[:, -1] *= np.exp(shift)
    tempered: Floats = powered / powered.sum(axis=1, keepdims=True)
    return tempered


def _platt(answers: Answers) -> tuple[float, float]:
    """Return the temperature and the shift of the second label's logit: logistic regression on that logit."""
    scores = np.clip(answers.scores, _SMALLEST_SCORE, None)
    logits = np.log(scores[:, 1]) - np.log(scores[:, 0])
    fitted = LogisticRegression(C=_NO_PENALTY).fit(logits[:, None], answers.wanted)
    slope = float(np.clip(fitted.coef_[0, 0], *np.exp(_LOG_TEMPERATURES)))  # a model worse than chance keeps its order
    return 1.0 / slope, float(fitted.intercept_[0])


def _thresholds(answers: Answers, reject_precision: float) -> tuple[float, float]:
    positive = answers.labels.index(REVIEWED)
    toxic, scores = answers.wanted == positive, answers.scores[:, positive]
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(toxic[order])
    precision = hits / np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + toxic.sum())
    ranked = scores[order]
    inside = (ranked >= _REVIEW_RANGE[0]) & (ranked <= _REVIEW_RANGE[1])
    review = float(ranked[inside][f1[inside].argmax()]) if inside.any() else 0.5
    sure = np.flatnonzero(precision >= reject_precision)
    # Where no score is sure enough, only certainty itself is rejected.
    reject = float(ranked[sure[-1]]) if len(sure) else 1.0
    return round(review, 3), round(max(reject, review), 3)
