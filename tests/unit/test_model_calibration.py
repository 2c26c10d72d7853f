import math
from pathlib import Path

import pytest

from consumer.answer import Answer
from consumer.loading import make_policy
from consumer.model import ModelError, load_engine
from consumer.model.calibration import FILE_NAME, Calibration
from consumer.settings_parsing import SettingsError, load_settings
from tests.tiny_models import save_classifier

LABELS = {"sentiment": ("negative", "neutral", "positive"), "toxicity": ("clean", "toxic")}


def scores(directory: Path) -> tuple[float, ...]:
    answer = load_engine(str(directory), dtype="float32").classify(["a b c"])[0]
    assert isinstance(answer, Answer)
    return answer.scores


def test_the_temperature_divides_the_logits_of_its_group_only(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model")
    before = scores(model)
    (model / FILE_NAME).write_text('{"temperatures": {"toxicity": 2.0}}')
    after = scores(model)
    assert after[:3] == before[:3]
    logit = math.log(before[3] / (1 - before[3]))
    assert after[3] == pytest.approx(1 / (1 + math.exp(-logit / 2)), abs=1e-5)


def test_thresholds_are_the_policys_and_leave_the_models_version_alone(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model")
    before = load_engine(str(model)).version
    (model / FILE_NAME).write_text('{"review": {"toxicity.toxic": 0.4}}')
    assert load_engine(str(model)).version == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a calibration"),
        ('{"temperatures": {"toxicity": 0}}', "is not a calibration"),
        ('{"temperature": {}}', "is not a calibration"),
        ('{"temperatures": {"anger": 1.0}}', "names anger, which does not fit the model"),
        ('{"offsets": {"sentiment": 1.0}}', "names sentiment"),
        ('{"reject": {"toxicity.rude": 0.5}}', "names toxicity.rude"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, content: str, message: str) -> None:
    model = save_classifier(tmp_path / "model")
    (model / FILE_NAME).write_text(content)
    with pytest.raises(ModelError, match=message):
        load_engine(str(model))


def test_the_policy_follows_the_calibration_unless_a_person_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = Calibration(review={"toxicity.toxic": 0.37}, reject={"toxicity.toxic": 0.83})
    policy = make_policy(load_settings(), LABELS, calibration)
    assert (policy.review["toxicity.toxic"], policy.reject["toxicity.toxic"]) == (0.37, 0.83)
    monkeypatch.setenv("POLICY_REVIEW", '{"toxicity.toxic": 0.6}')
    policy = make_policy(load_settings(), LABELS, calibration)
    assert (policy.review["toxicity.toxic"], policy.reject["toxicity.toxic"]) == (0.6, 0.83)


def test_a_review_threshold_above_the_calibrated_reject_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_REVIEW", '{"toxicity.toxic": 0.85}')
    with pytest.raises(SettingsError, match="nothing would ever be reviewed"):
        make_policy(load_settings(), LABELS, Calibration(reject={"toxicity.toxic": 0.8}))
