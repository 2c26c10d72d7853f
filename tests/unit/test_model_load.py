import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from consumer.answer import Answer
from consumer.model import ModelError, load_engine
from consumer.model.base import check_weights
from consumer.model.device import choose_device, choose_dtype
from tests.tiny_models import save_classifier, save_encoder


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "model")


def scores(model: Path, text: str = "hello there") -> tuple[float, ...]:
    answer = load_engine(str(model), dtype="float32").classify([text])[0]
    assert isinstance(answer, Answer)
    return answer.scores


def save_adapter(path: Path, base: Path) -> Path:
    network = AutoModelForSequenceClassification.from_pretrained(base)
    adapted = get_peft_model(
        network, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["value", "dense"], init_lora_weights=False)
    )
    for name, weights in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.5)
    adapted.save_pretrained(str(path))
    return path


def test_loading_says_nothing(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_engine(str(directory))
    assert capfd.readouterr() == ("", "")


def test_an_adapter_is_merged_into_its_base(directory: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    unmerged = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(directory), str(adapter))
    logits = unmerged.eval()(**tokenizer("hello there", return_tensors="pt")).logits[0]
    expected = [*logits[:3].softmax(dim=0).tolist(), logits[3].sigmoid().item()]
    assert scores(adapter) == pytest.approx(expected, abs=1e-4)
    assert scores(directory) != pytest.approx(expected, abs=1e-2)


def test_an_adapter_without_its_head_is_refused(tmp_path: Path) -> None:
    encoder, whole = save_encoder(tmp_path / "encoder"), save_classifier(tmp_path / "whole")
    adapter = save_adapter(tmp_path / "adapter", whole)
    shutil.copy(whole / "config.json", adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(encoder)}))
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({k: v for k, v in weights.items() if "classifier" not in k}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="head was not saved"):
        load_engine(str(adapter))


def test_an_encoder_without_a_trained_head_is_refused(directory: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder")
    shutil.copy(directory / "config.json", encoder)
    with pytest.raises(ModelError, match="not a trained classifier"):
        load_engine(str(encoder))


def test_pickled_weights_are_never_read(directory: Path) -> None:
    torch.save({}, directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no safetensors"):
        load_engine(str(directory))


def test_code_that_comes_with_a_model_is_never_run(directory: Path, tmp_path: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    evil = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"},
    }
    (directory / "config.json").write_text(json.dumps(config | evil))
    (directory / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_engine(str(directory))
    assert not (tmp_path / "ran").exists()


def test_a_name_that_is_nowhere_is_refused_with_how_to_fetch_it() -> None:
    with pytest.raises(ModelError, match="hf download nobody/nothing"):
        load_engine("nobody/nothing")


def test_a_damaged_weights_file_is_refused(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_engine(str(directory))


def test_a_model_of_another_cleaning_version_is_refused(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"cleaning_version": 99}))
    with pytest.raises(ModelError, match="cleaning version 99"):
        load_engine(str(directory))


def test_base_weights_with_another_digest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"other weights")
    with pytest.raises(ModelError, match=r"has sha256 .* expected 00; reinstall"):
        check_weights(path, "00", "reinstall")


def test_the_version_changes_with_weights_labels_and_tokenizer_and_the_fingerprint_with_the_number_format(
    directory: Path,
) -> None:
    before = load_engine(str(directory), dtype="float32")
    assert load_engine(str(directory), dtype="float32").fingerprint == before.fingerprint
    other = load_engine(str(directory), dtype="bfloat16")
    assert other.version == before.version
    assert other.fingerprint != before.fingerprint
    versions = {before.version}

    tokenizer = (directory / "tokenizer.json").read_text()
    (directory / "tokenizer.json").write_text(tokenizer.replace('"lowercase": true', '"lowercase": false'))
    versions.add(load_engine(str(directory)).version)

    config = json.loads((directory / "config.json").read_text())
    config["tag_groups"]["toxicity"]["complement"] = "fine"
    (directory / "config.json").write_text(json.dumps(config))
    versions.add(load_engine(str(directory)).version)

    weights = load_file(directory / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    versions.add(load_engine(str(directory)).version)
    assert len(versions) == 4


def test_a_foreign_model_is_read_by_its_problem_type(tmp_path: Path) -> None:
    foreign = save_classifier(
        tmp_path / "m", id2label={0: "toxic", 1: "insult"}, problem_type="multi_label_classification"
    )
    assert load_engine(str(foreign)).tag_groups.label_names() == {"toxicity": ("clean", "toxic", "insult")}


def test_labels_are_mapped_by_the_setting(tmp_path: Path) -> None:
    foreign = save_classifier(tmp_path / "m", num_labels=2)
    engine = load_engine(str(foreign), labels={"LABEL_0": "negative", "LABEL_1": "positive"})
    assert engine.tag_groups.label_names() == {"sentiment": ("negative", "positive")}


def test_an_unknown_device_and_number_format_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match="MODEL_DEVICE"):
        choose_device("abacus")
    with pytest.raises(ModelError, match="MODEL_DTYPE"):
        choose_dtype("int3", torch.device("cpu"))


@pytest.mark.parametrize(
    ("declared", "languages"), [(["de", "en-GB"], ("de", "en-GB")), ("de", ()), (["de", 5], ()), ([], ()), (None, ())]
)
def test_the_languages_that_a_model_declares_are_known_for_each_of_its_tag_groups(
    directory: Path, declared: object, languages: tuple[str, ...]
) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"languages": declared}))
    assert load_engine(str(directory)).languages == {"sentiment": languages, "toxicity": languages}
