"""Names of labels reach events, metrics, settings, terminals and logs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig

from consumer.model import ModelError, load_engine
from consumer.model.errors import printable
from consumer.model.labels import tag_groups
from tests.hostile_models import edit
from tests.tiny_models import TAG_GROUPS, save_classifier


def groups_of(labels: list[str], **fields: Any) -> dict[str, tuple[str, ...]]:
    config = BertConfig(id2label=dict(enumerate(labels)), problem_type="multi_label_classification", **fields)
    return tag_groups(config, None, "m").label_names()


UNUSABLE = {
    "empty": "",
    "blank": "  ",
    "an escape sequence": "toxic\x1b[2J",
    "a line": "toxic\nallow",
    "half an emoji": "toxic\ud83d",
    "turned around": "toxic\u202e",
    "invisible": "tox\u200bic",
    "long": "t" * 10_000,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_name_that_cannot_be_shown_is_refused_and_shown_escaped(name: str) -> None:
    for labels, own in (
        ([UNUSABLE[name], "insult"], None),
        (["toxic"], {"toxicity": {"labels": [UNUSABLE[name]], "activation": "sigmoid"}}),
        (["toxic"], {UNUSABLE[name]: {"labels": ["toxic"], "activation": "sigmoid"}}),
        (["toxic"], {"g": {"labels": ["toxic"], "complement": UNUSABLE[name], "activation": "sigmoid"}}),
    ):
        with pytest.raises(ModelError, match=r"characters that can be printed") as refused:
            groups_of(labels, tag_groups=own) if own else groups_of(labels)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 1000


def test_more_labels_than_metrics_can_carry_are_refused() -> None:
    with pytest.raises(ModelError, match="1,001 labels"):
        groups_of([f"a{number}" for number in range(1001)])


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"labels": ["a.b"], "activation": "sigmoid"}, "full stop"),
        ({"labels": ["a"], "complement": "x.y", "activation": "sigmoid"}, "full stop"),
        ({"labels": ["a"], "complement": "a", "activation": "sigmoid"}, "as one of its labels"),
        ({"labels": ["a"], "activation": "softmax"}, "one label only"),
        ({"labels": ["a"], "complement": 7, "activation": "sigmoid"}, "unreadable tag_groups"),
        ({"labels": [], "activation": "sigmoid"}, "unreadable tag_groups"),
    ],
)
def test_a_group_whose_scores_would_mislead_is_refused(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        groups_of(["a"], tag_groups={"g": spec})


@pytest.mark.parametrize("name", ["toxic, very", "идиот", "不良", "non-toxic", "not toxic", "é" * 100])
def test_a_name_of_any_script_is_taken(name: str) -> None:
    assert groups_of([name, "insult"]) == {"toxicity": ("clean", name, "insult")}


@given(st.text(max_size=200))
def test_whatever_a_label_holds_it_is_printable_or_refused(name: str) -> None:
    try:
        names = str(groups_of([name, "insult"])["toxicity"][1])
    except ModelError as refused:
        names = str(refused)
    assert names
    assert names.isprintable()


@given(st.text())
def test_what_a_library_says_of_a_models_files_is_shown_printable_and_short(said: str) -> None:
    assert printable(said).isprintable()
    assert len(printable(said)) <= 301


@pytest.mark.parametrize(
    "id2label",
    [
        {"0": "a", "2": "b"},
        {"1": "a", "2": "b"},
        {"0": "a", "00": "b"},
        {"0": "a", "x": "b"},
        {"٠": "a", "1": "b"},
        ["a"],
    ],
)
def test_labels_without_a_number_each_are_refused(tmp_path: Path, id2label: Any) -> None:
    model = save_classifier(tmp_path / "model", num_labels=2)
    edit(model / "config.json", id2label=id2label)
    with pytest.raises(ModelError, match="does not number the labels"):
        load_engine(str(model))


def test_a_model_of_one_language_cannot_name_a_group_as_ours(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model")
    own = {"sentiment": TAG_GROUPS["sentiment"], "language": TAG_GROUPS["toxicity"]}
    edit(model / "config.json", languages=["en"], tag_groups=own)
    with pytest.raises(ModelError, match="tag group language"):
        load_engine(str(model))
