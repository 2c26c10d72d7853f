"""One model from several of one lineage: the mean of their weights, which is often better than each of them."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from consumer.model import adapter
from consumer.model.calibration import FILE_NAME as CALIBRATION_FILE
from consumer.model.files import check_directory
from consumer.training.errors import TrainingError
from consumer.training.saving import PROVENANCE_FILE
from consumer.training.whole import whole_or_nothing

_WEIGHTS = ("adapter_model.safetensors", "model.safetensors")


def average(models: Sequence[Path], output: Path) -> None:
    """Write to `output` the model directory whose weights are the mean of those of `models` (Wortsman et al. 2022).

    That works for models of one lineage, each continued from another ("model soups"); it costs nothing when the model
    runs. Everything but the weights is the first model's; a calibration is left out, as it was for other weights.
    Raises TrainingError for fewer than two models and for models of different shape, ModelError for directories that
    are not to be read.
    """
    if len(models) < 2:
        raise TrainingError("averaging takes two models at least; name those that continue one another")
    if output.exists():
        raise TrainingError(f"{output} exists already; remove it or choose another output directory")
    for model in models:
        if model.is_dir():
            check_directory(model, str(model))
    names = {_weights_of(model).name for model in models}
    if len(names) > 1:
        raise TrainingError("an adapter cannot be averaged with whole weights; name models trained by one method")
    tensors = [_tensors(_weights_of(model)) for model in models]
    for model, other in zip(models[1:], tensors[1:], strict=True):
        if _shapes(other) != _shapes(tensors[0]) or _layout(model) != _layout(models[0]):
            raise TrainingError(f"{model} has other weights or labels than {models[0]}; average models of one lineage")
    mean = {
        name: torch.stack([part[name].float() for part in tensors]).mean(dim=0).to(first.dtype).contiguous()
        for name, first in tensors[0].items()
    }
    with whole_or_nothing(output) as partial:
        for file in models[0].iterdir():
            if file.is_file() and file.name not in (*_WEIGHTS, CALIBRATION_FILE, PROVENANCE_FILE):
                shutil.copy(file, partial / file.name)
        save_file(mean, partial / names.pop(), metadata={"format": "pt"})
        facts = [_facts(model) for model in models]
        provenance = facts[-1] | {"average_of": facts}
        (partial / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=2) + "\n")


def _weights_of(model: Path) -> Path:
    for name in _WEIGHTS:
        if (model / name).is_file():
            return model / name
    raise TrainingError(f"{model} is not a model directory: it has neither {' nor '.join(_WEIGHTS)}")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _layout(model: Path) -> Any:
    """Return what the logits mean, how texts are cleaned and how an adapter is scaled."""
    config = _json(model / "config.json")
    settings = adapter.read_settings(model, str(model))
    scale = adapter.computing(settings) if settings else ""
    return [config.get("tag_groups"), config.get("cleaning_version"), config.get("id2label"), scale]


def _facts(model: Path) -> Any:
    return _json(model / PROVENANCE_FILE) if (model / PROVENANCE_FILE).exists() else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
