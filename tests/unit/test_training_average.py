import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from consumer.answer import Answer
from consumer.model import load_engine
from consumer.training.average import average
from consumer.training.errors import TrainingError
from tests.tiny_models import save_classifier


def changed(model: Path, output: Path, by: float) -> Path:
    """A copy of the model with `by` added to every weight."""
    output.mkdir()
    for file in model.iterdir():
        (output / file.name).write_bytes(file.read_bytes())
    weights = {name: tensor + by for name, tensor in load_file(model / "model.safetensors").items()}
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    return output


def test_the_average_lies_in_the_middle_and_runs(tmp_path: Path) -> None:
    first = save_classifier(tmp_path / "first")
    (first / "calibration.json").write_text('{"temperatures": {"toxicity": 2.0}}')
    (first / "training.json").write_text('{"seed": 1}')
    second = changed(first, tmp_path / "second", 0.5)
    average([first, second], tmp_path / "both")
    for name, tensor in load_file(tmp_path / "both" / "model.safetensors").items():
        assert torch.allclose(tensor, load_file(first / "model.safetensors")[name] + 0.25)
    assert isinstance(load_engine(str(tmp_path / "both")).classify(["a b"])[0], Answer)
    assert not (tmp_path / "both" / "calibration.json").exists()
    assert json.loads((tmp_path / "both" / "training.json").read_text())["average_of"] == [{"seed": 1}, {"seed": 1}]


def test_models_of_different_labels_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    first = save_classifier(tmp_path / "first")
    names = dict(enumerate(["a", "b", "c", "d"]))
    with pytest.raises(TrainingError, match="other weights or labels"):
        average([first, save_classifier(tmp_path / "second", id2label=names)], tmp_path / "both")
    with pytest.raises(TrainingError, match="two models at least"):
        average([first], tmp_path / "both")
    with pytest.raises(TrainingError, match="is not a model directory"):
        average([first, tmp_path], tmp_path / "both")
    assert not (tmp_path / "both").exists()
