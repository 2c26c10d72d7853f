"""What trains reads models of strangers as carefully as what runs them."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from safetensors.torch import load_file

from consumer.errors import ReaderError
from consumer.training.average import average
from consumer.training.errors import TrainingError
from consumer.training.network import continued, fresh
from consumer.training.package import package
from consumer.training.provenance import data_facts
from consumer.training.targets import Target
from tests import hostile_models as hostile
from tests.hostile_models import SLOW, config, edit, tokenizer
from tests.tiny_models import save_classifier, save_encoder, save_lora

TARGETS = [Target("toxicity", ("clean", "toxic"), slice(0, 1), (1.0, 1.0))]


class NetworkUsed(BaseException):
    """Nothing that catches every Exception hides it."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise NetworkUsed

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_an_encoder_whose_config_names_a_kernel_is_trained_without_it(tmp_path: Path) -> None:
    base = save_encoder(tmp_path / "base")
    edit(base / "config.json", attn_implementation="evil/kernel", auto_map={"AutoConfig": "evil--code.Config"})
    assert fresh(str(base), TARGETS, "lora", 2).model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (config(quantization_config={"quant_method": "gptq"}), "quantized"),
        (config(num_hidden_layers=3), "would stay random"),
        (config(vocab_size=10**11), "far too few"),
        (config(hidden_size=-1), "negative"),
        (hostile.moved_out("model.safetensors"), "link to outside"),
        (hostile.fifo("config.json"), "not a regular file"),
        (tokenizer(tokenizer_class="AutoModel"), "is no tokenizer"),
        (lambda base: base.joinpath("model.safetensors").rename(base / "model.bin"), "no safetensors weights"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused_with_one_sentence(
    tmp_path: Path, change: Callable[[Path], Any], why: str
) -> None:
    base = save_encoder(tmp_path / "base")
    change(base)
    with pytest.raises(TrainingError, match=f"is not an encoder to train.*{why}|{why}") as refused:
        fresh(str(base), TARGETS, "full", 2)
    assert str(refused.value).isprintable()


def test_a_model_that_lacks_weights_is_not_continued_from_random_ones(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model")
    edit(model / "config.json", num_hidden_layers=3)
    with pytest.raises(ReaderError, match="lacks weights for"):
        continued(str(model))


def test_an_adapter_goes_on_learning_where_its_weights_say(tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", save_classifier(tmp_path / "base"))
    edit(adapter / "adapter_config.json", target_modules=SLOW, exclude_modules=SLOW)
    trained = [name for name, weights in continued(str(adapter)).model.named_parameters() if weights.requires_grad]
    held = load_file(adapter / "adapter_model.safetensors")
    assert sum("lora_A" in name for name in trained) == sum("lora_A" in name for name in held)


@pytest.mark.parametrize(
    "change",
    [
        {"megatron_config": {"x": 1}, "megatron_core": "megatron.evil"},
        {"rank_pattern": {SLOW: 2}},
        {"base_model_name_or_path": "https://evil.example/model"},
        {"base_model_name_or_path": "evil/model"},
    ],
)
def test_an_adapter_that_cannot_be_used_is_not_continued(tmp_path: Path, change: dict[str, Any]) -> None:
    adapter = save_lora(tmp_path / "adapter", save_classifier(tmp_path / "base"))
    edit(adapter / "adapter_config.json", **change)
    with pytest.raises(ReaderError):
        continued(str(adapter))


def test_files_outside_a_model_are_copied_neither_into_an_average_nor_into_a_package(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model")
    shutil.copytree(model, tmp_path / "other")
    (tmp_path / "secret").write_text("secret")
    (model / "log.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(ReaderError, match=r"log\.csv, a link to outside"):
        average([model, tmp_path / "other"], tmp_path / "output")
    with pytest.raises(ReaderError, match=r"log\.csv, a link to outside"):
        package(model, tmp_path / "output", None, name="m", merge=False)
    assert not (tmp_path / "output").exists()


def test_adapters_of_different_scales_are_not_averaged(tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", save_classifier(tmp_path / "base"))
    shutil.copy(tmp_path / "base" / "config.json", adapter)
    shutil.copytree(adapter, tmp_path / "other")
    edit(tmp_path / "other" / "adapter_config.json", lora_alpha=400)
    with pytest.raises(TrainingError, match="other weights or labels"):
        average([adapter, tmp_path / "other"], tmp_path / "output")


def test_the_provenance_of_a_continued_model_is_read_with_care(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model")
    (model / "training.json").write_text("[" * 100_000)
    (tmp_path / "rows.csv").write_text("text\n")
    with pytest.raises(ReaderError, match=r"training\.json is not JSON"):
        data_facts(tmp_path / "rows.csv", [], str(model))
