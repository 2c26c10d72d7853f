"""Which models a setting names, and which labels belong to which."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.cli import app
from consumer.loading import labels_by_model, load_model
from consumer.model import ModelError
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError, load_settings
from tests.tiny_models import save_classifier


def test_one_model_needs_not_be_named_by_its_labels() -> None:
    assert labels_by_model(["a"], {}) == {"a": {}}
    assert labels_by_model(["a"], {"LABEL_0": "negative"}) == {"a": {"LABEL_0": "negative"}}
    assert labels_by_model(["a"], {"a": {"LABEL_0": "negative"}}) == {"a": {"LABEL_0": "negative"}}


def test_each_of_several_models_gets_its_own_labels() -> None:
    given = {"b": {"LABEL_0": "toxicity.toxic"}}
    assert labels_by_model(["a", "b"], given) == {"a": {}, "b": {"LABEL_0": "toxicity.toxic"}}


@pytest.mark.parametrize("models", [["a"], ["a", "b"]])
def test_labels_of_a_model_that_is_not_loaded_are_refused_with_those_that_are(models: list[str]) -> None:
    with pytest.raises(SettingsError, match=rf"labels of c, but MODEL is {', '.join(models)}"):
        labels_by_model(models, {"c": {"LABEL_0": "negative"}})


def test_labels_of_no_model_are_refused_where_there_are_several_with_how_to_write_it() -> None:
    with pytest.raises(
        SettingsError, match=r'which model has LABEL_0; .* write \{"NAME": \{"LABEL_0": "…"\}\}, NAME being a or b'
    ):
        labels_by_model(["a", "b"], {"LABEL_0": "negative"})


@pytest.mark.parametrize("models", [["a"], ["a", "b"]])
def test_labels_that_name_a_model_and_labels_that_name_none_are_not_mixed(models: list[str]) -> None:
    with pytest.raises(SettingsError, match="LABEL_1"):
        labels_by_model(models, {"a": {"LABEL_0": "negative"}, "LABEL_1": "positive"})


def classify(model: str, **settings: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["classify", "--json", "A good day"], env={"MODEL": model, **settings})
    return result.exit_code, result.output


def test_models_with_labels_of_the_same_names_are_told_apart(tmp_path: Path) -> None:
    first, second = (str(save_classifier(tmp_path / name, num_labels=2)) for name in ("first", "second"))
    labels = {
        first: {"LABEL_0": "sentiment.negative", "LABEL_1": "sentiment.positive"},
        second: {"LABEL_0": "toxicity.clean", "LABEL_1": "toxicity.toxic"},
    }
    status, output = classify(f"{first}, {second}", MODEL_LABELS=json.dumps(labels))
    assert status == 0, output
    found = json.loads(output)
    assert {group: list(tag["scores"]) for group, tag in found["tags"].items()} == {
        "sentiment": ["negative", "positive"],
        "toxicity": ["clean", "toxic"],
    }
    assert found["model"]["name"] == f"{first},{second}"


def test_a_directory_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    status, output = classify(str(save_classifier(tmp_path / "one,two")))
    assert status == 0, output


@pytest.mark.parametrize("setting", ["a,", ",a", "a,,b", " ", ", ,"])
def test_a_name_that_is_missing_in_model_is_said(setting: str) -> None:
    with pytest.raises(SettingsError, match=rf'MODEL is "{setting}", where a name is missing'):
        load_model(Settings(model=setting))


def test_a_model_of_several_that_is_not_there_is_named_however_long_the_setting() -> None:
    with pytest.raises(ModelError, match='MODEL names "model-0", which is neither'):
        load_model(Settings(model=",".join(f"model-{number}" for number in range(50))))


@pytest.mark.parametrize("labels", ['{"LABEL_0": 3}', '{"m": {"LABEL_0": null}}', '{"m": {"LABEL_0": {"a": "b"}}}'])
def test_labels_that_are_not_texts_are_refused_in_one_sentence(labels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_LABELS", labels)
    with pytest.raises(SettingsError, match=r'^MODEL_LABELS: has under "(LABEL_0|m)" what is neither') as caught:
        load_settings()
    assert "\n" not in str(caught.value)
