"""The evaluation report: everything measured about one model on one file, as one JSON-able dictionary."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consumer.model import Engine
from consumer.policy import DEFAULT_REVIEW
from consumer.training.bias import measure_bias
from consumer.training.errors import TrainingError
from consumer.training.evaluation.answers import Answers, answers_by_group
from consumer.training.evaluation.html import page
from consumer.training.evaluation.intervals import SEED, intervals
from consumer.training.evaluation.measures import by_label, calibration, ranking, summary, thresholds
from consumer.training.evaluation.slices import slices
from consumer.training.predict import Prediction
from consumer.training.robustness import measure_robustness

SCHEMA = 1
"""Raised by every change after which a reader of report.json would have to change."""


def measure(
    engine: Engine, predicted: Sequence[Prediction], data: Path, odd_texts: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the figures of `engine` per tag group, whole and in slices; `predicted` are its answers to `data`, and
    `odd_texts` says which of its lines were left out or cut.

    Raises TrainingError when no answered row has a label of the model's tag groups.
    """
    groups = answers_by_group(predicted)
    if not groups:
        raise TrainingError(
            f"no row of {data} that {engine.name} can answer has a label of its tag groups "
            f"({', '.join(engine.tag_groups.label_names())}); choose rows with such labels"
        )
    return {
        "schema": SCHEMA,
        "model": {"name": engine.name, "version": engine.version, "fingerprint": engine.fingerprint},
        "data": {
            "file": str(data),
            "sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
            "rows": len(predicted),
            "odd_texts": list(odd_texts),
            "unanswerable": sum(not prediction.scores for prediction in predicted),
        },
        "groups": {group: _measured(answers) for group, answers in groups.items()},
    }


def measure_trust(engine: Engine, predicted: Sequence[Prediction]) -> dict[str, Any]:
    """Return the figures on bias and on robustness, which run texts of their own through the engine."""
    rows = [prediction.row for prediction in predicted]
    threshold = engine.calibration.review.get("toxicity.toxic", DEFAULT_REVIEW["toxicity.toxic"])
    return {"bias": measure_bias(engine, predicted, threshold), "robustness": measure_robustness(engine, rows, SEED)}


def require_folder(folder: Path) -> None:
    """Raise TrainingError when `folder` cannot take a report: better before the measuring than after it."""
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        is_writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    except OSError:  # a name that is too long, for example
        is_writable = False
    if not is_writable:
        raise TrainingError(f"the report cannot be written to {folder}; give --report a folder that you can write to")


def write(report: dict[str, Any], folder: Path) -> None:
    """Write report.json and report.html into `folder`, in place of those that are there.

    Raises TrainingError when that fails.
    """
    contents = {"report.json": json.dumps(report, indent=2) + "\n", "report.html": page(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as partial:
            for name, content in contents.items():
                (Path(partial) / name).write_text(content, encoding="utf-8", errors="backslashreplace")
            for name in contents:
                (Path(partial) / name).replace(folder / name)
    except OSError as error:
        raise TrainingError(f"the report cannot be written to {folder}: {error.strerror}") from error


def _measured(answers: Answers) -> dict[str, Any]:
    return {
        **summary(answers),
        "labels": by_label(answers),
        "confusion": {"labels": list(answers.labels), "matrix": answers.confusion().tolist()},
        **ranking(answers),
        "calibration": calibration(answers),
        "thresholds": thresholds(answers),
        "intervals": intervals(answers),
        "slices": slices(answers),
    }
