"""Several models beside each other: what they say together is what each says alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumer.answer import Answer, Unanswerable
from consumer.cache import AnswerCodec
from consumer.loading import load_model
from consumer.model import Engine, ModelError, load_engine
from consumer.model.explain import explain
from consumer.model.joint import JointEngine, engines_of
from consumer.settings import Settings
from tests.side_by_side import SideBySide
from tests.tiny_engine import tiny_engine
from tests.tiny_models import MOOD, TAG_GROUPS, save_classifier, save_tagger

TEXTS = ["a good day", "what a nasty thing", "HELLO there", "hello there", "a", "so very very good, is it not?"]
ENGLISH = {**MOOD, "toxicity": TAG_GROUPS["toxicity"]}


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "both": save_classifier(tmp_path_factory.mktemp("both")),
        "mood": save_tagger(tmp_path_factory.mktemp("mood"), MOOD),
        "cased": save_tagger(tmp_path_factory.mktemp("cased"), MOOD, cased=True),
        "english": save_tagger(tmp_path_factory.mktemp("english"), ENGLISH, languages=["en"]),
    }


@pytest.fixture(scope="module")
def engines(directories: dict[str, Path]) -> dict[str, Engine]:
    return {name: tiny_engine(directory) for name, directory in directories.items()}


def tags_of(engine: Engine | JointEngine, texts: Sequence[str]) -> list[dict[str, Any]]:
    found = engine.classify([engine.model_text(text) for text in texts])
    return [engine.tag_groups.tags(answer) for answer in found if isinstance(answer, Answer)]


@pytest.mark.parametrize("second", ["mood", "cased"])
def test_each_text_has_the_tags_that_each_model_gives_it_alone(engines: dict[str, Engine], second: str) -> None:
    alone = [tags_of(engines[name], TEXTS) for name in ("both", second)]
    found = tags_of(JointEngine([engines["both"], engines[second]]), TEXTS)
    assert len(found) == len(TEXTS)
    assert [list(tags) for tags in found] == [["sentiment", "toxicity", "mood"]] * len(TEXTS)
    for tags, first, then in zip(found, *alone, strict=True):
        for group, tag in (first | then).items():
            assert tags[group].label == tag.label
            assert tags[group].scores == pytest.approx(tag.scores, abs=2e-4)


@pytest.mark.parametrize("names", [("both", "mood"), ("english", "both"), ("both", "english")])
def test_what_they_say_together_comes_back_from_the_cache(engines: dict[str, Engine], names: tuple[str, ...]) -> None:
    joint = JointEngine([engines[name] for name in names])
    cache = AnswerCodec(joint.tag_groups.score_count, "", joint.tag_groups.competing)
    for answer in joint.classify([joint.model_text(text) for text in TEXTS]):
        assert isinstance(answer, Answer)
        assert cache.decode(b"key", cache.encode(b"key", answer)) is not None


def test_of_a_tag_group_that_two_models_have_the_first_ones_counts(engines: dict[str, Engine]) -> None:
    first, second = engines["english"], engines["both"]
    joint = JointEngine([first, second])
    assert joint.models() == {
        "mood": first.name,
        "toxicity": first.name,
        "language": first.name,
        "sentiment": second.name,
    }
    assert joint.languages == {"mood": ("en",), "toxicity": ("en",), "language": ("en",), "sentiment": ()}
    for tags, by_first, by_second in zip(*(tags_of(e, TEXTS) for e in (joint, first, second)), strict=True):
        assert tags["toxicity"].scores == pytest.approx(by_first["toxicity"].scores, abs=2e-4)
        assert tags["toxicity"].scores != pytest.approx(by_second["toxicity"].scores, abs=2e-3)
        assert tags["language"].scores == pytest.approx(by_first["language"].scores, abs=2e-4)
        assert tags["sentiment"].scores == pytest.approx(by_second["sentiment"].scores, abs=2e-4)


def test_the_language_is_tagged_once_where_two_models_know_english_only(tmp_path: Path) -> None:
    engines = [
        tiny_engine(save_tagger(tmp_path / "first", {"toxicity": TAG_GROUPS["toxicity"]}, languages=["en"])),
        tiny_engine(save_tagger(tmp_path / "second", MOOD, languages=["en"])),
    ]
    (tags,) = tags_of(JointEngine(engines), ["Das ist wirklich ein sehr schöner Tag für uns alle"])
    assert list(tags) == ["toxicity", "language", "mood"]
    assert tags["language"].label == "other"
    assert tags["mood"].score == pytest.approx(0.5, abs=0.02), "neither has a confident guess at a foreign text"
    assert tags["toxicity"].score == pytest.approx(0.5, abs=0.02)


def test_a_model_that_adds_no_tag_group_is_refused(engines: dict[str, Engine]) -> None:
    with pytest.raises(ModelError, match=rf"{engines['mood'].name} adds nothing.*\(mood\).*leave it out"):
        JointEngine([engines["english"], engines["mood"]])


def test_texts_become_equal_only_where_no_model_tells_them_apart(engines: dict[str, Engine]) -> None:
    uncased = JointEngine([engines["both"], engines["mood"]])
    assert uncased.model_text("Hello  THERE") == uncased.model_text("hello there") == "hello there"
    mixed = JointEngine([engines["both"], engines["cased"]])
    assert mixed.model_text("Hello  THERE") == "Hello THERE"
    assert mixed.model_text("hello there") == engines["both"].model_text("Hello THERE")


def test_a_text_that_makes_either_model_fail_is_unanswerable_and_leaves_the_others_unharmed(
    engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = JointEngine([engines["both"], engines["mood"]])
    texts = ["good", "zebra", "bad"]
    for engine in joint.engines:
        with monkeypatch.context() as patched:
            patched.setattr(engine._passes, "runner", SideBySide(engine, RuntimeError()))
            found = joint.classify(texts)
        assert found[1] == Unanswerable("the model failed on it: RuntimeError")
        assert [isinstance(answer, Answer) for answer in found] == [True, False, True]
    assert all(isinstance(answer, Answer) for answer in joint.classify(texts))


@pytest.mark.parametrize("broken", ["both", "mood"])
def test_a_model_that_breaks_is_named(engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    joint = JointEngine([engines["both"], engines["mood"]])
    monkeypatch.setattr(engines[broken].network.bert, "forward", None)
    with pytest.raises(ModelError, match=engines[broken].name):
        joint.warm_up()
    with pytest.raises(ModelError, match=engines[broken].name):
        joint.classify(["good"])


def test_a_text_is_truncated_where_either_model_does_not_see_all_of_it(engines: dict[str, Engine]) -> None:
    short = tiny_engine(Path(engines["mood"].name))
    short.tokenizer.enable_truncation(8)
    for order in ([engines["both"], short], [short, engines["both"]]):
        joint = JointEngine(order)
        found = joint.classify(["a b c", "a b c d e f g h i j k l"])
        assert [answer.truncated for answer in found if isinstance(answer, Answer)] == [False, True]


def test_the_version_tells_models_and_their_order_apart(engines: dict[str, Engine]) -> None:
    orders = [("both", "mood"), ("mood", "both"), ("both", "cased"), ("mood", "english"), ("english", "both")]
    joints = [JointEngine([engines[name] for name in order]) for order in orders]
    assert len({joint.version for joint in joints}) == len({joint.fingerprint for joint in joints}) == len(orders)
    again = JointEngine([engines["both"], engines["mood"]])
    assert (again.version, again.fingerprint) == (joints[0].version, joints[0].fingerprint)
    assert all(joint.version != engine.version for joint in joints for engine in engines.values())


def test_answers_in_another_number_format_are_not_taken_for_these(directories: dict[str, Path]) -> None:
    def joint(*dtypes: str) -> JointEngine:
        names = zip(("both", "mood"), dtypes, strict=True)
        return JointEngine([load_engine(str(directories[name]), device="cpu", dtype=dtype) for name, dtype in names])

    formats = [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32"), ("bfloat16", "bfloat16")]
    joints = [joint(*dtypes) for dtypes in formats]
    assert len({one.fingerprint for one in joints}) == len(formats)
    assert len({one.version for one in joints}) == 1
    assert joints[1].fingerprint == f"{joints[1].version}-float32+bfloat16"


def test_every_group_that_counts_is_explained_by_the_model_it_comes_from(engines: dict[str, Engine]) -> None:
    joint = JointEngine([engines["english"], engines["both"]])
    text = joint.model_text("A good day")
    (answer,) = joint.classify([text])
    assert isinstance(answer, Answer)
    found = {explanation.group: explanation for explanation in explain(joint, text, answer)}
    assert list(found) == ["mood", "toxicity", "sentiment"]
    (alone,) = engines["english"].classify([text])
    assert isinstance(alone, Answer)
    by_english = {explanation.group: explanation for explanation in explain(engines["english"], text, alone)}
    assert found["toxicity"] == by_english["toxicity"]
    assert all(explanation.completeness_error < 0.01 for explanation in found.values())


def test_thresholds_of_a_model_hold_for_the_groups_that_come_from_it(directories: dict[str, Path]) -> None:
    first, second = directories["english"], directories["both"]
    calibrations = {
        first: {"review": {"toxicity.toxic": 0.61, "mood.angry": 0.7}},
        second: {"review": {"toxicity.toxic": 0.2, "sentiment.negative": 0.8}, "reject": {"toxicity.toxic": 0.3}},
    }
    for directory, calibration in calibrations.items():
        (directory / "calibration.json").write_text(json.dumps(calibration))
    try:
        engine, policy = load_model(Settings(model=f"{first}, {second}", model_device="cpu"))
    finally:
        for directory in calibrations:
            (directory / "calibration.json").unlink()
    assert [one.name for one in engines_of(engine)] == [str(first), str(second)]
    assert engine.name == f"{first},{second}"
    assert policy.review == {
        "toxicity.toxic": 0.61,
        "language.other": 0.9,
        "mood.angry": 0.7,
        "sentiment.negative": 0.8,
    }
    assert policy.reject == {"toxicity.toxic": 0.9}, "the second model's scores of that group do not count"
