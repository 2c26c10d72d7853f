from collections.abc import Sequence
from pathlib import Path

import pytest

from consumer.model import Engine, load_engine
from consumer.training.data import Row
from consumer.training.errors import TrainingError
from consumer.training.evaluation.compare import BETTER, NO_DIFFERENCE, WORSE, compare, gate
from consumer.training.predict import Prediction
from tests.tiny_models import save_classifier


@pytest.fixture(scope="module")
def other_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(str(save_classifier(tmp_path_factory.mktemp("other"))))


def answered(toxic_scores: Sequence[float]) -> list[Prediction]:
    """Rows wanted toxic and clean in turn, and the toxic score a model gives each."""
    return [
        Prediction(
            Row(f"comment {index}", {"toxicity": ("toxic", "clean")[index % 2]}, ""),
            {"toxicity": {"clean": 1 - score, "toxic": score}},
        )
        for index, score in enumerate(toxic_scores)
    ]


RIGHT = answered([0.9, 0.1] * 20)
ALL_TOXIC = answered([0.9, 0.8] * 20)
ONE_MISTAKE = answered([0.9, 0.1] * 19 + [0.9, 0.8])


def test_a_model_that_is_right_where_the_other_is_wrong_is_better_and_the_other_worse(other_engine: Engine) -> None:
    measured = compare(RIGHT, ALL_TOXIC, other_engine)["groups"]["toxicity"]
    assert measured["verdict"] == BETTER
    assert measured["macro_f1"] == pytest.approx({"model": 1.0, "other": 1 / 3})
    assert measured["difference"] == pytest.approx(2 / 3)
    assert measured["mcnemar"] == {"only_model_right": 20, "only_other_right": 0, "p": pytest.approx(2 * 0.5**20)}
    low, high = measured["interval"]
    assert 0 < low < 2 / 3 < high < 1
    mirrored = compare(ALL_TOXIC, RIGHT, other_engine)["groups"]["toxicity"]
    assert mirrored["verdict"] == WORSE
    assert mirrored["difference"] == pytest.approx(-2 / 3)


def test_one_mistake_fewer_is_no_real_difference(other_engine: Engine) -> None:
    measured = compare(RIGHT, ONE_MISTAKE, other_engine)["groups"]["toxicity"]
    assert measured["verdict"] == NO_DIFFERENCE
    assert measured["mcnemar"]["p"] == 1.0


def test_the_same_answers_are_no_difference_and_no_disagreement(other_engine: Engine) -> None:
    comparison = compare(RIGHT, RIGHT, other_engine)
    assert comparison["groups"]["toxicity"]["interval"] == [0, 0]
    assert comparison["groups"]["toxicity"]["mcnemar"]["p"] == 1.0
    assert comparison["groups"]["toxicity"]["verdict"] == NO_DIFFERENCE
    assert comparison["disagreements"] == []


def test_more_rows_right_is_not_better_when_macro_f1_falls(other_engine: Engine) -> None:
    # 100 clean rows, 20 of them won, and all 10 toxic ones lost: more right answers, and no toxic comment found.
    def predictions(clean_mistakes: int, toxic_score: float) -> list[Prediction]:
        scores = [0.9] * clean_mistakes + [0.1] * (100 - clean_mistakes)
        rows = [("clean", score) for score in scores] + [("toxic", toxic_score)] * 10
        return [
            Prediction(Row(str(index), {"toxicity": wanted}, ""), {"toxicity": {"clean": 1 - score, "toxic": score}})
            for index, (wanted, score) in enumerate(rows)
        ]

    measured = compare(predictions(0, 0.1), predictions(40, 0.9), other_engine)["groups"]["toxicity"]
    assert measured["mcnemar"]["only_model_right"] > measured["mcnemar"]["only_other_right"]
    assert measured["mcnemar"]["p"] < 0.05
    assert measured["difference"] < 0
    assert measured["verdict"] == NO_DIFFERENCE


def test_at_most_twenty_disagreements_are_shown_the_widest_first(other_engine: Engine) -> None:
    model = answered([0.9, 0.1] * 30)
    other = answered([0.9, 0.8] * 29 + [0.9, 0.99])
    shown = compare(model, other, other_engine)["disagreements"]
    assert len(shown) == 20
    first = {"text": "comment 59", "group": "toxicity", "wanted": "clean", "model": "clean", "other": "toxic"}
    assert shown[0] == first


def test_rows_that_one_model_cannot_answer_are_left_out(other_engine: Engine) -> None:
    silent = [prediction._replace(scores={}) for prediction in RIGHT[:4]] + RIGHT[4:]
    assert compare(silent, RIGHT, other_engine)["groups"]["toxicity"]["rows"] == 36


def test_models_without_a_common_labelled_group_are_refused(other_engine: Engine) -> None:
    with pytest.raises(TrainingError, match="no row has a label of a tag group"):
        compare(RIGHT, [prediction._replace(scores={"sentiment": {}}) for prediction in RIGHT], other_engine)


def test_the_gate_lets_everything_pass_but_a_worse_model(other_engine: Engine, tmp_path: Path) -> None:
    gate(compare(RIGHT, ALL_TOXIC, other_engine))
    gate(compare(ONE_MISTAKE, RIGHT, other_engine))
    with pytest.raises(TrainingError, match=r"really worse than .* in toxicity \(macro-F1 0\.333 against 1\.000\)"):
        gate(compare(ALL_TOXIC, RIGHT, other_engine))
