"""Tags in, a decision out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.policy import Policy, PolicyError
from schemas import Tag

SEVERITY = {"allow": 0, "review": 1, "reject": 2}
score = st.floats(min_value=0, max_value=1)
thresholds = st.dictionaries(st.sampled_from(["toxicity.toxic", "sentiment.negative", "sentiment.neutral"]), score)


def tags(toxic: float, negative: float = 0.1) -> dict[str, Tag]:
    return {
        "sentiment": Tag(label="neutral", score=0.5, scores={"negative": negative, "neutral": 0.5, "positive": 0.1}),
        "toxicity": Tag(label="toxic", score=toxic, scores={"clean": 1 - toxic, "toxic": toxic}),
    }


@pytest.mark.parametrize(
    ("toxic", "action"), [(0.0, "allow"), (0.4999, "allow"), (0.5, "review"), (0.8999, "review"), (0.9, "reject")]
)
def test_the_default_policy_reviews_from_a_half_and_rejects_from_nine_tenths(toxic: float, action: str) -> None:
    assert Policy().decide(tags(toxic)).action == action


def test_the_decision_names_the_rule_and_gives_the_score_and_the_threshold() -> None:
    decision = Policy().decide(tags(0.953))
    assert decision.rule == "reject:toxicity.toxic"
    assert decision.reason == "toxicity.toxic 0.953 is at or above 0.900"


@given(thresholds, thresholds, score, score, score)
def test_a_higher_score_never_makes_the_decision_milder(
    review: dict[str, float], reject: dict[str, float], low: float, high: float, negative: float
) -> None:
    low, high = sorted((low, high))
    policy = Policy(review=review, reject=reject)
    milder, stricter = policy.decide(tags(low, negative)), policy.decide(tags(high, negative))
    assert SEVERITY[stricter.action] >= SEVERITY[milder.action]


@given(st.permutations(["toxicity.toxic", "sentiment.negative", "sentiment.neutral"]))
def test_decision_and_version_do_not_depend_on_the_order_of_the_thresholds(names: list[str]) -> None:
    review = dict.fromkeys(names, 0.3)
    reference = Policy(review=dict.fromkeys(sorted(names), 0.3), reject={})
    policy = Policy(review=review, reject={})
    assert policy.version == reference.version
    assert policy.decide(tags(0.5, 0.5)) == reference.decide(tags(0.5, 0.5))


def test_the_version_changes_with_a_threshold_and_with_its_action() -> None:
    versions = {
        Policy().version,
        Policy(review={"toxicity.toxic": 0.51}).version,
        Policy(review={}, reject={"toxicity.toxic": 0.5}).version,
        Policy(review={"toxicity.toxic": 0.5}, reject={}).version,
    }
    assert len(versions) == 4


def test_the_label_furthest_above_its_threshold_is_the_rule_that_fired() -> None:
    policy = Policy(review={"toxicity.toxic": 0.5, "sentiment.negative": 0.2}, reject={})
    assert policy.decide(tags(0.55, negative=0.9)).rule == "review:sentiment.negative"


def test_a_threshold_for_a_label_the_model_lacks_is_refused_with_the_labels_it_has() -> None:
    policy = Policy(review={}, reject={"toxicity.toxik": 0.9})
    with pytest.raises(PolicyError, match=r"POLICY_REJECT has a threshold for toxicity\.toxik.*toxicity\.toxic"):
        policy.check_against({"toxicity": ["clean", "toxic"]})


def test_a_tag_group_that_is_missing_from_an_event_reaches_no_threshold() -> None:
    assert Policy().decide({}).action == "allow"
