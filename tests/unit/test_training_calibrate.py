import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from consumer.model import load_engine
from consumer.model.calibration import Calibration
from consumer.model.labels import TagGroup, TagGroups
from consumer.training.calibrate import calibrate, write_calibration
from consumer.training.commands import train_app
from consumer.training.data import Row
from consumer.training.errors import TrainingError
from consumer.training.predict import Prediction
from tests.tiny_models import save_classifier

runner = CliRunner()

GROUPS = TagGroups((TagGroup("toxicity", "sigmoid", ("toxic",), (0,), "clean"),))


def overconfident(factor: float, rows: int = 4000, shift: float = 0.0) -> list[Prediction]:
    """Predictions whose logits are `factor` times what is true of their labels, and `shift` above it."""
    chance = np.random.default_rng(0)
    logits = chance.normal(0.0, 1.5, rows)
    toxic = chance.random(rows) < 1 / (1 + np.exp(-logits))
    scores = 1 / (1 + np.exp(-factor * logits - shift))
    return [
        Prediction(
            Row("a", {"toxicity": "toxic" if wanted else "clean"}, ""),
            {"toxicity": {"clean": 1 - float(score), "toxic": float(score)}},
        )
        for wanted, score in zip(toxic, scores, strict=True)
    ]


def test_the_temperature_undoes_overconfidence_and_scores_become_probabilities() -> None:
    found = calibrate(GROUPS, overconfident(3.0), 0.9)
    assert found.calibration.temperatures["toxicity"] == pytest.approx(3.0, rel=0.1)
    before, after = found.errors["toxicity"]
    assert before > 0.1
    assert after < 0.03


def test_an_offset_takes_back_what_class_weights_added() -> None:
    found = calibrate(GROUPS, overconfident(2.0, shift=1.5), 0.9)
    assert found.calibration.temperatures["toxicity"] == pytest.approx(2.0, rel=0.1)
    assert found.calibration.offsets["toxicity"] == pytest.approx(-0.75, abs=0.15)  # -1.5, divided like the logit
    assert found.errors["toxicity"][1] < 0.03


def test_two_competing_logits_get_no_offset_which_the_engine_could_not_apply() -> None:
    groups = TagGroups((TagGroup("toxicity", "softmax", ("clean", "toxic"), (0, 1)),))
    found = calibrate(groups, overconfident(3.0), 0.9).calibration
    assert found.offsets == {}
    assert found.temperatures["toxicity"] == pytest.approx(3.0, rel=0.1)


def test_labels_that_are_told_apart_without_fail_get_a_bounded_calibration() -> None:
    predicted = [
        Prediction(Row("a", {"toxicity": label}, ""), {"toxicity": {"clean": 1 - score, "toxic": score}})
        for label, score in (("clean", 0.1), ("toxic", 0.9)) * 50
    ]
    found = calibrate(GROUPS, predicted, 0.9)
    assert found.errors["toxicity"][1] < 0.01


def test_a_group_with_several_independent_logits_is_left_alone() -> None:
    groups = TagGroups((TagGroup("toxicity", "sigmoid", ("toxic", "insult"), (0, 1), "clean"),))
    with pytest.raises(TrainingError, match="no tag group"):
        calibrate(groups, overconfident(3.0), 0.9)


def test_what_was_found_for_a_group_stays_when_other_rows_calibrate_another(tmp_path: Path) -> None:
    toxicity = Calibration(temperatures={"toxicity": 2.0}, review={"toxicity.toxic": 0.4})
    write_calibration(tmp_path, toxicity)
    merged = write_calibration(tmp_path, Calibration(temperatures={"sentiment": 1.5}))
    assert merged == toxicity.model_copy(update={"temperatures": {"toxicity": 2.0, "sentiment": 1.5}})


def test_nothing_below_seven_tenths_is_ever_rejected_however_good_the_model() -> None:
    predicted = [
        Prediction(Row("a", {"toxicity": label}, ""), {"toxicity": {"clean": 1 - score, "toxic": score}})
        for label, score, rows in (("toxic", 0.99, 600), ("clean", 0.01, 2400), ("toxic", 0.5, 10), ("clean", 0.5, 10))
        for _ in range(rows)
    ]
    assert calibrate(GROUPS, predicted, 0.9).calibration.reject["toxicity.toxic"] >= 0.7


def test_rejected_comments_are_toxic_as_often_as_asked_for() -> None:
    predicted = overconfident(1.0)
    reject = calibrate(GROUPS, predicted, 0.9).calibration.reject["toxicity.toxic"]
    rejected = [row for row, scores in predicted if scores["toxicity"]["toxic"] >= reject]
    assert sum(row.labels["toxicity"] == "toxic" for row in rejected) / len(rejected) >= 0.9


def test_review_never_begins_above_reject() -> None:
    found = calibrate(GROUPS, overconfident(1.0), 0.5).calibration
    assert found.review["toxicity.toxic"] <= found.reject["toxicity.toxic"]


def test_where_no_score_is_sure_enough_nothing_is_rejected_but_certainty() -> None:
    predicted = [
        Prediction(Row("a", {"toxicity": label}, ""), {"toxicity": {"clean": 0.1, "toxic": 0.9}})
        for label in ("clean", "toxic") * 50
    ]
    assert calibrate(GROUPS, predicted, 0.99).calibration.reject == {"toxicity.toxic": 1.0}


def test_too_few_rows_or_one_label_only_are_refused() -> None:
    for predicted in (
        overconfident(1.0, rows=49),
        [p for p in overconfident(1.0) if p.row.labels["toxicity"] == "toxic"],
    ):
        with pytest.raises(TrainingError, match="50 rows with two different labels"):
            calibrate(GROUPS, predicted, 0.9)


def test_the_command_changes_the_scores_and_the_version_but_no_label(tmp_path: Path) -> None:
    model, data = save_classifier(tmp_path / "model"), tmp_path / "rows.jsonl"
    labels = ["negative", "neutral", "positive"]
    rows = [{"text": f"word {n} {'abc'[n % 3] * (n % 7)}", "sentiment": labels[n % 3]} for n in range(90)]
    data.write_text("\n".join(json.dumps(row) for row in rows))
    before = load_engine(str(model))
    result = runner.invoke(train_app, ["calibrate", str(model), "--data", str(data)])
    assert result.exit_code == 0, result.output
    assert "sentiment: temperature" in result.output
    after = load_engine(str(model))
    assert after.version != before.version
    texts = [row["text"] for row in rows]
    for was, now in zip(before.classify(texts), after.classify(texts), strict=True):
        was_tags, now_tags = before.tag_groups.tags(was), after.tag_groups.tags(now)  # type: ignore[arg-type]
        assert {group: tag.label for group, tag in was_tags.items()} == {
            group: tag.label for group, tag in now_tags.items()
        }


def test_what_is_not_a_model_directory_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "a", "sentiment": "positive"}')
    result = runner.invoke(train_app, ["calibrate", str(tmp_path / "nowhere"), "--data", str(data)])
    assert result.exit_code == 2
    assert "is not a directory" in result.output
