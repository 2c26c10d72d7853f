"""The version of a model changes with anything that can change a tag, and with nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from consumer.model import Engine, load_engine
from tests.hostile_models import config, edit, sharded, tokenizer
from tests.tiny_models import save_classifier, save_lora


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "model")


def load(model: Path) -> Engine:
    return load_engine(str(model), device="cpu", dtype="float32")


def answers(engine: Engine) -> list[Any]:
    return list(engine.classify(["hello there", "you idiot", "what a day"]))


@pytest.mark.parametrize(
    "change",
    [
        config(num_attention_heads=4),
        config(hidden_act="relu"),
        config(layer_norm_eps=1e-2),
        config(num_hidden_layers=1),
        config(is_decoder=True),
        tokenizer(model_max_length=5),
    ],
    ids=["heads", "activation", "epsilon", "fewer layers than weights", "one direction", "shorter"],
)
def test_a_setting_that_changes_a_score_changes_the_version(model: Path, change: Callable[[Path], None]) -> None:
    before = load(model)
    change(model)
    after = load(model)
    assert answers(after) != answers(before)
    assert after.version != before.version


def test_what_changes_no_score_leaves_the_version(model: Path) -> None:
    before = load(model)
    edit(model / "config.json", hidden_dropout_prob=0.5, transformers_version="4.1.0", architectures=None, dtype=None)
    save_file(load_file(model / "model.safetensors"), model / "other.safetensors")  # nobody reads it
    after = load(model)
    assert after.version == before.version
    assert answers(after) == answers(before)


def test_every_shard_that_is_read_is_in_the_version(model: Path) -> None:
    before = answers(load(model))
    sharded(model)
    versions = {load(model).version}
    assert answers(load(model)) == before
    for shard in sorted(model.glob("model-*.safetensors")):
        weights = load_file(shard)
        save_file({name: held + 1 for name, held in weights.items()}, shard, {"format": "pt"})
        versions.add(load(model).version)
    assert len(versions) == 3


@pytest.mark.parametrize("change", [{"lora_alpha": 40}, {"use_rslora": True}, {"alpha_pattern": {"value": 40}}])
def test_the_scale_of_an_adapter_is_in_the_version(model: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    adapter = save_lora(tmp_path / "adapter", model)
    before = load(adapter)
    edit(adapter / "adapter_config.json", **change)
    after = load(adapter)
    assert answers(after) != answers(before)
    assert after.version != before.version


def test_the_base_of_an_adapter_is_in_the_version(model: Path, tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", model)
    before = load(adapter).version
    weights = load_file(model / "model.safetensors")
    save_file({name: held + 1 for name, held in weights.items()}, model / "model.safetensors", {"format": "pt"})
    assert load(adapter).version != before


def test_an_adapter_whose_file_lacks_some_of_its_targets_answers_alike_at_every_start(tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", save_classifier(tmp_path / "base"))
    edit(adapter / "adapter_config.json", target_modules=["value", "dense", "query"], init_lora_weights=False)
    assert answers(load(adapter)) == answers(load(adapter))
