import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support  # type: ignore[import-untyped]

from consumer.training.data import LABELS, Row
from consumer.training.evaluation.answers import Answers, answers_by_group
from consumer.training.evaluation.intervals import intervals
from consumer.training.evaluation.measures import by_label, calibration, ranking, summary, thresholds
from consumer.training.evaluation.slices import NO_SOURCE, length, script, slices
from consumer.training.predict import Prediction

SENTIMENT = LABELS["sentiment"]


def sentiment(wanted: str, predicted: str, *, text: str = "a", source: str = "s") -> Prediction:
    scores = {label: 0.8 if label == predicted else 0.1 for label in SENTIMENT}
    return Prediction(Row(text, {"sentiment": wanted}, source), {"sentiment": scores})


def toxicity(wanted: str, toxic_score: float) -> Prediction:
    scores = {"clean": 1 - toxic_score, "toxic": toxic_score}
    return Prediction(Row("a", {"toxicity": wanted}, "s"), {"toxicity": scores})


def answers(*predictions: Prediction) -> Answers:
    (only,) = answers_by_group(predictions).values()
    return only


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SENTIMENT), st.sampled_from(SENTIMENT)), min_size=1, max_size=40))
def test_figures_are_those_of_scikit_learn_over_the_labels_that_rows_carry(pairs: list[tuple[str, str]]) -> None:
    wanted, predicted = zip(*pairs, strict=True)
    carried = [label for label in SENTIMENT if label in wanted]
    columns = precision_recall_fscore_support(wanted, predicted, labels=carried, zero_division=0)
    measured = answers(*(sentiment(*pair) for pair in pairs))
    assert list(by_label(measured)) == carried
    for name, expected in zip(("precision", "recall", "f1", "rows"), columns, strict=True):
        assert [scores[name] for scores in by_label(measured).values()] == pytest.approx(list(expected))
    macro = summary(measured)["macro"]
    for name, expected in zip(("precision", "recall", "f1"), columns, strict=False):
        assert macro[name] == pytest.approx(float(np.mean(expected)))
    assert summary(measured)["accuracy"] == pytest.approx(float(np.mean([w == p for w, p in pairs])))


def test_rows_count_only_in_groups_they_have_a_label_and_an_answer_for() -> None:
    unanswered = Prediction(Row("b", {"sentiment": "neutral"}, ""), {})
    groups = answers_by_group([sentiment("neutral", "negative"), unanswered, toxicity("clean", 0.9)])
    assert {group: len(part.rows) for group, part in groups.items()} == {"sentiment": 1, "toxicity": 1}


def test_an_answer_that_no_row_wants_is_a_mistake_in_a_column_of_its_own() -> None:
    insult = Prediction(Row("b", {"toxicity": "clean"}, ""), {"toxicity": {"clean": 0.1, "toxic": 0.2, "insult": 0.9}})
    measured = answers(insult, toxicity("toxic", 0.9))
    assert measured.labels == ("clean", "toxic", "insult")
    assert measured.confusion().tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert list(by_label(measured)) == ["clean", "toxic"]


def test_the_calibration_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    sure_and_wrong_once_in_four = [toxicity(label, 0.95) for label in ("toxic", "toxic", "toxic", "clean")]
    measured = calibration(answers(*sure_and_wrong_once_in_four, toxicity("clean", 0.4)))
    assert measured["ece"] == pytest.approx((4 * (0.95 - 0.75) + (1 - 0.6)) / 5)
    assert [part["rows"] for part in measured["bins"]] == [1, 4]
    assert measured["bins"][1]["from"] == pytest.approx(14 / 15)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1))
def test_every_confidence_falls_into_the_bin_that_holds_it(scores: list[float]) -> None:
    bins = calibration(answers(*(toxicity("toxic", score) for score in scores)))["bins"]
    assert sum(part["rows"] for part in bins) == len(scores)
    for part in bins:
        assert part["from"] - 1e-9 <= part["confidence"] <= part["to"] + 1e-9


def test_a_threshold_tells_its_share_precision_recall_and_false_positives() -> None:
    rows = [toxicity("toxic", 0.9), toxicity("toxic", 0.3), toxicity("clean", 0.6), toxicity("clean", 0.1)]
    table = {row["threshold"]: row for row in thresholds(answers(*rows))}
    assert list(table) == pytest.approx([step / 20 for step in range(1, 20)])
    at = {"threshold": 0.6, "share": 0.5, "precision": 0.5, "recall": 0.5, "false_positive_rate": 0.5}
    assert table[0.6] == at
    assert table[0.95] == at | {"threshold": 0.95, "share": 0, "precision": None, "recall": 0, "false_positive_rate": 0}
    assert thresholds(answers(sentiment("neutral", "neutral"))) == []


def test_ranking_is_perfect_when_every_toxic_row_scores_above_every_clean_one_and_undefined_for_one_class() -> None:
    toxic, clean = toxicity("toxic", 0.3), toxicity("clean", 0.2)
    assert ranking(answers(toxic, clean)) == {"roc_auc": 1.0, "average_precision": 1.0}
    assert ranking(answers(toxic, toxic)) == {"roc_auc": None, "average_precision": None}
    assert ranking(answers(sentiment("neutral", "neutral"))) == {"roc_auc": None, "average_precision": None}


def test_intervals_hold_the_figure_repeat_exactly_and_narrow_with_more_rows() -> None:
    few = answers(*[sentiment("positive", "positive")] * 15, *[sentiment("negative", "positive")] * 5)
    many = few.part(list(range(20)) * 100)
    assert intervals(few) == intervals(few)
    for measured, standard_error in ((few, 0.097), (many, 0.0097)):
        bounds = [0.75 - 1.96 * standard_error, 0.75 + 1.96 * standard_error]
        assert intervals(measured)["accuracy"] == pytest.approx(bounds, abs=standard_error / 2)
    low, high = intervals(many)["macro_f1"]
    assert low < summary(many)["macro"]["f1"] < high


def test_slices_split_the_rows_by_source_length_and_script() -> None:
    rows = [
        sentiment("positive", "positive", text="good", source=""),
        sentiment("positive", "negative", text="хорошо " * 31, source="forum"),
    ]
    measured = slices(answers(*rows))
    assert {kind: {name: part["rows"] for name, part in parts.items()} for kind, parts in measured.items()} == {
        "source": {NO_SOURCE: 1, "forum": 1},
        "length": {"1-5": 1, "31+": 1},
        "script": {"Latin": 1, "other": 1},
    }
    assert measured["source"][NO_SOURCE]["accuracy"] == 1
    assert measured["source"]["forum"]["intervals"]["accuracy"] == [0, 0]


@pytest.mark.parametrize(
    ("words", "name"), [(0, "1-5"), (5, "1-5"), (6, "6-15"), (15, "6-15"), (16, "16-30"), (30, "16-30"), (31, "31+")]
)
def test_length_is_counted_in_words(words: int, name: str) -> None:
    assert length("word " * words) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("naïve ok 2!", "Latin"), ("ｆｕｌｌ", "Latin"), ("привет", "other"), ("idiоt", "mixed"), ("😀 42", "other")],
)
def test_script_is_that_of_the_letters(text: str, name: str) -> None:
    assert script(text) == name
