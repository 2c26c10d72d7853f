from typing import Any

import pytest
from structlog.testing import capture_logs
from transformers import BertConfig

from consumer.answer import Answer
from consumer.model.errors import ModelError
from consumer.model.labels import TagGroup, TagGroups, tag_groups
from tests.tiny_models import TAG_GROUPS


def config(labels: list[str], **fields: Any) -> BertConfig:
    return BertConfig(id2label=dict(enumerate(labels)), **fields)


def groups(labels: list[str], mapping: dict[str, str] | None = None, **fields: Any) -> tuple[TagGroup, ...]:
    return tag_groups(config(labels, **fields), mapping, "m").groups


def test_the_tag_groups_of_a_config_take_the_logits_in_order() -> None:
    assert groups(["negative", "neutral", "positive", "toxic"], tag_groups=TAG_GROUPS) == (
        TagGroup("sentiment", "softmax", ("negative", "neutral", "positive"), (0, 1, 2)),
        TagGroup("toxicity", "sigmoid", ("toxic",), (3,), "clean"),
    )


@pytest.mark.parametrize(
    "own", [{"sentiment": {"labels": ["a"]}}, {"x": {"labels": ["a"], "activation": "relu"}}, 7, {}]
)
def test_unreadable_tag_groups_are_refused(own: object) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        groups(["a", "b"], tag_groups=own)


def test_sentiment_labels_make_a_softmax_group_whatever_their_case() -> None:
    assert groups(["Negative", "Positive"]) == (TagGroup("sentiment", "softmax", ("negative", "positive"), (0, 1)),)


def test_several_toxic_labels_with_sigmoid_get_the_complement_clean() -> None:
    found = groups(["toxic", "insult"], problem_type="multi_label_classification")
    assert found == (TagGroup("toxicity", "sigmoid", ("toxic", "insult"), (0, 1), "clean"),)


def test_a_model_of_one_logit_is_sigmoid() -> None:
    assert groups(["toxic"]) == (TagGroup("toxicity", "sigmoid", ("toxic",), (0,), "clean"),)


def test_unnamed_labels_are_refused_with_an_example_of_the_setting() -> None:
    with pytest.raises(ModelError, match="MODEL_LABELS="):
        groups(["LABEL_0", "LABEL_1"])
    with pytest.raises(ModelError, match="MODEL_LABELS="):
        groups(["LABEL_0"])


def test_unnamed_labels_can_be_mapped() -> None:
    assert groups(["LABEL_0", "LABEL_1"], {"LABEL_0": "negative", "LABEL_1": "Positive"})[0].name == "sentiment"


def test_one_model_can_be_mapped_to_several_groups() -> None:
    mapping = {"A": "sentiment.negative", "B": "sentiment.positive", "C": "toxicity.clean", "D": "toxicity.toxic"}
    assert groups(list("ABCD"), mapping) == (
        TagGroup("sentiment", "softmax", ("negative", "positive"), (0, 1)),
        TagGroup("toxicity", "softmax", ("clean", "toxic"), (2, 3)),
    )


def test_a_mapping_of_a_label_the_model_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ModelError, match=r"LABEL_7.*negative, positive"):
        groups(["negative", "positive"], {"LABEL_7": "negative"})


def test_a_mapping_of_a_model_with_tag_groups_of_its_own_is_refused() -> None:
    with pytest.raises(ModelError, match="remove its labels from MODEL_LABELS"):
        groups(["a", "b", "c", "toxic"], {"a": "negative"}, tag_groups=TAG_GROUPS)


def test_a_softmax_over_one_label_is_refused() -> None:
    with pytest.raises(ModelError, match="one label only"):
        groups(["A", "B"], {"A": "sentiment.negative", "B": "toxicity.toxic"})


def test_a_regression_model_is_refused() -> None:
    with pytest.raises(ModelError, match="predicts a number"):
        groups(["toxic"], problem_type="regression")


def test_softmax_scores_of_one_label_add_up() -> None:
    stars = TagGroup(
        "sentiment", "softmax", ("negative", "negative", "neutral", "positive", "positive"), tuple(range(5))
    )
    tag = TagGroups((stars,)).tags(Answer((0.2, 0.2, 0.35, 0.15, 0.1), False))["sentiment"]
    assert (tag.label, tag.score) == ("negative", 0.4)
    assert tag.scores == {"negative": 0.4, "neutral": 0.35, "positive": 0.25}


def test_of_sigmoid_scores_of_one_label_the_highest_counts_and_the_rest_is_clean() -> None:
    group = TagGroup("toxicity", "sigmoid", ("toxic", "toxic", "spam"), (0, 1, 2), "clean")
    tag = TagGroups((group,)).tags(Answer((0.1, 0.3, 0.2), False))["toxicity"]
    assert tag.scores == {"clean": 0.7, "toxic": 0.3, "spam": 0.2}
    assert tag.label == "clean"


def test_every_group_gets_its_own_scores() -> None:
    found = tag_groups(config(["negative", "neutral", "positive", "toxic"], tag_groups=TAG_GROUPS), None, "m")
    tags = found.tags(Answer((0.1, 0.2, 0.7, 0.9), False))
    assert {name: tag.label for name, tag in tags.items()} == {"sentiment": "positive", "toxicity": "toxic"}
    assert found.score_count == 4
    assert found.label_names() == {"sentiment": ("negative", "neutral", "positive"), "toxicity": ("clean", "toxic")}


def test_the_label_is_chosen_before_rounding() -> None:
    group = TagGroup("sentiment", "softmax", ("negative", "positive"), (0, 1))
    assert TagGroups((group,)).tags(Answer((0.499999, 0.500001), False))["sentiment"].label == "positive"


def test_the_logits_of_tag_groups_are_found_by_name_in_whatever_order_a_config_was_saved() -> None:
    sentiment, toxicity = TAG_GROUPS["sentiment"], TAG_GROUPS["toxicity"]
    moved = {"toxicity": toxicity, "sentiment": sentiment}
    names = ["negative", "neutral", "positive", "toxic"]
    assert groups(names, tag_groups=moved) == (
        TagGroup("toxicity", "sigmoid", ("toxic",), (3,), "clean"),
        TagGroup("sentiment", "softmax", ("negative", "neutral", "positive"), (0, 1, 2)),
    )


def test_labels_that_two_groups_share_are_told_apart_by_their_groups() -> None:
    two = {name: {"labels": ["low", "high"], "activation": "softmax"} for name in ("anger", "joy")}
    found = groups(["joy.low", "joy.high", "anger.high", "anger.low"], tag_groups=two)
    assert [(group.name, group.columns) for group in found] == [("anger", (3, 2)), ("joy", (0, 1))]


@pytest.mark.parametrize(
    ("names", "warns"), [(["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"], False), (["low", "high", "low", "high"], True)]
)
def test_tag_groups_whose_logits_have_no_names_of_their_own_follow_each_other(names: list[str], warns: bool) -> None:
    two = {name: {"labels": ["low", "high"], "activation": "softmax"} for name in ("anger", "joy")}
    with capture_logs() as logs:
        assert [group.columns for group in groups(names, tag_groups=two)] == [(0, 1), (2, 3)]
    assert [entry["event"] for entry in logs] == ["tag_groups_by_order"] * warns
