"""A self-contained model directory: what the stream needs, what it was made of, and what it is worth."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from peft import PeftModel

from consumer.answer import Answer
from consumer.model import Engine, load_engine
from consumer.model.base import BASE_ID
from consumer.model.calibration import FILE_NAME as CALIBRATION_FILE
from consumer.model.source import find
from consumer.training.card import model_card
from consumer.training.errors import TrainingError
from consumer.training.network import continued
from consumer.training.saving import PROVENANCE_FILE
from consumer.training.whole import whole_or_nothing

METRICS_FILE = "metrics.json"
FINGERPRINT_FILE = "fingerprint.json"

_PROBES = ("I love this, thank you!", "You are an idiot.", "The train leaves at five.", "not bad at all", "meh 😐")
READABLE = 0o644
"""safetensors writes weights for their owner alone, and a container's user is another."""
_LARGEST_CHANGE = 0.02  # what equal tags may differ by anywhere in this project


def package(model: Path, output: Path, metrics: Path | None, *, name: str, merge: bool) -> str:
    """Write the directory `output` from the model directory `model` and return the version it has in events.

    An adapter on the public encoder stays one (the encoder comes with the program's dependencies) unless `merge`; one
    on any other encoder is merged, so that nothing outside is needed. The copy is loaded and must answer as the
    original. Raises TrainingError or ModelError; `output` appears whole or not at all.
    """
    if output.exists():
        raise TrainingError(f"{output} exists already; remove it or choose another output directory")
    engine = load_engine(str(model))
    report = _report(metrics, engine) if metrics else None
    facts = _facts(model)
    with whole_or_nothing(output) as partial:
        _write_weights(model, partial, merge=merge)
        for file in (CALIBRATION_FILE, PROVENANCE_FILE, "log.csv"):
            if (model / file).exists():
                shutil.copy(model / file, partial / file)
        if report:
            (partial / METRICS_FILE).write_text(json.dumps(report, indent=2) + "\n")
        (partial / "README.md").write_text(model_card(name, facts, report, engine.calibration, _languages(model)))
        copy = load_engine(str(partial))
        _require_same_answers(engine, copy)
        digests = {file.name: _sha256(file) for file in sorted(partial.iterdir())}
        content = {"version": copy.version, "sha256": digests}
        (partial / FINGERPRINT_FILE).write_text(json.dumps(content, indent=2) + "\n")
        for path in partial.iterdir():
            path.chmod(READABLE)
    return copy.version


def _write_weights(model: Path, output: Path, *, merge: bool) -> None:
    """Write weights, config and tokenizer."""
    settings = find(str(model)).settings
    if settings and not merge and settings.base_model_name_or_path == BASE_ID:
        for file in ("adapter_config.json", "adapter_model.safetensors", "config.json"):
            shutil.copy(model / file, output / file)
        return
    network, tokenizer, _ = continued(str(model))
    if isinstance(network, PeftModel):
        network = network.merge_and_unload()
    network.save_pretrained(output)
    tokenizer.save_pretrained(output)


def _languages(model: Path) -> list[str]:
    return list(json.loads((model / "config.json").read_bytes()).get("languages", []))


def _report(path: Path, engine: Engine) -> dict[str, Any]:
    """Return the report of `moderate train evaluate`, which must be about this very model."""
    try:
        report: dict[str, Any] = json.loads(path.read_bytes())
        measured, _, _ = report["model"]["version"], report["data"]["file"], report["groups"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is not a report; write one with: moderate train evaluate MODEL --data FILE --report FOLDER"
        ) from error
    if measured != engine.version:
        raise TrainingError(
            f"{path} measured version {measured}, but the model is version {engine.version}; evaluate it again, "
            "after calibrating"
        )
    return report


def _facts(model: Path) -> dict[str, Any]:
    path = model / PROVENANCE_FILE
    try:
        facts = dict[str, Any](json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{model} has no readable {PROVENANCE_FILE}; package what `moderate train fit` wrote"
        ) from error
    return facts


def _require_same_answers(original: Engine, copy: Engine) -> None:
    for before, after in zip(original.classify(_PROBES), copy.classify(_PROBES), strict=True):
        same = isinstance(before, Answer) and isinstance(after, Answer)
        if not same or max(abs(a - b) for a, b in zip(before.scores, after.scores, strict=True)) > _LARGEST_CHANGE:  # type: ignore[union-attr]
            raise TrainingError(
                "the packaged model answers otherwise than the original; check the disk and package again"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
