"""Several models beside each other: what they say together is what each says alone."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

from consumer.answer import Answer, ModelPass, Unanswerable
from consumer.jobs import ModelGoneError
from consumer.loading import load_model
from consumer.micro_batcher import MicroBatcher
from consumer.model import Engine, ModelError, load_engine
from consumer.model.explain import explain
from consumer.model.joint import JointEngine, engines_of
from consumer.settings import Settings
from consumer.telemetry.metrics import Metrics
from tests.pass_engine import interleaved
from tests.side_by_side import SideBySide, seconds_of_passes
from tests.tiny_engine import letter_z, tiny_engine
from tests.tiny_models import TAG_GROUPS, save_classifier

TEXTS = ["a good day", "what a nasty thing", "HELLO there", "hello there", "a", "so very very good, is it not?"]
MOOD = {"mood": {"labels": ["calm", "angry"], "activation": "softmax"}}
ENGLISH = {**MOOD, "toxicity": TAG_GROUPS["toxicity"]}


def save(directory: Path, groups: dict[str, Any], *, cased: bool = False, **config: Any) -> Path:
    """A model with these tag groups; a cased one tells letter cases apart."""
    labels = [label for group in groups.values() for label in group["labels"]]
    save_classifier(directory, id2label=dict(enumerate(labels)), tag_groups=groups, **config)
    if cased:
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.normalizer = BertNormalizer(lowercase=False)
        tokenizer.save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "both": save_classifier(tmp_path_factory.mktemp("both")),
        "mood": save(tmp_path_factory.mktemp("mood"), MOOD),
        "cased": save(tmp_path_factory.mktemp("cased"), MOOD, cased=True),
        "english": save(tmp_path_factory.mktemp("english"), ENGLISH, languages=["en"]),
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


def test_of_a_tag_group_that_two_models_have_the_first_ones_counts(engines: dict[str, Engine]) -> None:
    first, second = engines["english"], engines["both"]
    joint = JointEngine([first, second])
    assert joint.models() == {
        "mood": first.name,
        "toxicity": first.name,
        "language": first.name,
        "sentiment": second.name,
    }
    for tags, by_first, by_second in zip(*(tags_of(e, TEXTS) for e in (joint, first, second)), strict=True):
        assert tags["toxicity"].scores == pytest.approx(by_first["toxicity"].scores, abs=2e-4)
        assert tags["toxicity"].scores != pytest.approx(by_second["toxicity"].scores, abs=2e-3)
        assert tags["language"].scores == pytest.approx(by_first["language"].scores, abs=2e-4)
        assert tags["sentiment"].scores == pytest.approx(by_second["sentiment"].scores, abs=2e-4)


def test_the_language_is_tagged_once_where_two_models_know_english_only(tmp_path: Path) -> None:
    engines = [
        tiny_engine(save(tmp_path / "first", {"toxicity": TAG_GROUPS["toxicity"]}, languages=["en"])),
        tiny_engine(save(tmp_path / "second", MOOD, languages=["en"])),
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
            fail_on_z(engine, patched)
            found = joint.classify(texts)
        assert found[1] == Unanswerable("the model failed on it: RuntimeError")
        assert [isinstance(answer, Answer) for answer in found] == [True, False, True]
    assert all(isinstance(answer, Answer) for answer in joint.classify(texts))


def fail_on_z(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    z, forward = letter_z(engine), engine.network.bert.forward

    def failing(input_ids: torch.Tensor, **others: Any) -> Any:
        if bool(torch.eq(input_ids, z).any()):
            raise RuntimeError
        return forward(input_ids=input_ids, **others)

    monkeypatch.setattr(engine.network.bert, "forward", failing)


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


def side_by_side(
    directories: dict[str, Path], on_pass: Callable[[ModelPass], None] = lambda _: None
) -> tuple[JointEngine, list[SideBySide]]:
    """Two engines whose passes run side by side, and what runs them."""
    joint = JointEngine([tiny_engine(directories[name], on_pass) for name in ("both", "mood")])
    runners = [SideBySide(engine, RuntimeError()) for engine in joint.engines]
    for engine, runner in zip(joint.engines, runners, strict=True):
        engine._passes.runner = runner
    return joint, runners


MANY = [f"a {number}" for number in range(60)]


def test_others_have_their_turn_between_the_passes_of_every_model(engines: dict[str, Engine]) -> None:
    joint = JointEngine([engines["both"], engines["mood"]])
    steps = [len(list(engine.steps(MANY))) for engine in joint.engines]
    assert min(steps) > 2
    assert len(list(joint.steps(MANY))) == sum(steps)
    found = interleaved({"stream": joint.steps(MANY), "callers": joint.steps(MANY[::-1])})
    assert_same(found["stream"], joint.classify(MANY))
    assert_same(found["callers"][::-1], found["stream"])


def test_the_next_batch_begins_beside_the_last_passes_of_each_model(directories: dict[str, Path]) -> None:
    joint, _ = side_by_side(directories)
    alone = [list(engine.steps(MANY)) for engine in joint.engines]
    assert all(others[-1] and not others[0] for others in alone)
    assert list(joint.steps(MANY)) == alone[0] + alone[1]


def test_passes_of_no_model_are_left_running_when_a_job_is_given_up(directories: dict[str, Path]) -> None:
    joint, runners = side_by_side(directories)
    for given_up_after in range(1, len(list(joint.steps(MANY)))):
        steps, others = joint.steps(MANY), joint.steps(MANY[::-1])
        for _ in range(given_up_after):
            next(steps)
        next(others)
        steps.close()
        with pytest.raises(ModelGoneError):
            others.throw(ModelGoneError("the model is gone"))
        assert [runner.waiting for runner in runners] == [0, 0]


def test_the_stream_and_callers_get_their_answers_and_count_for_no_more_than_the_time_that_passed(
    directories: dict[str, Path],
) -> None:
    metrics = Metrics()
    joint, runners = side_by_side(directories, metrics.model_pass)
    batches = [[f"{text} of batch {number}" for text in MANY] for number in range(4)]
    wanted = [joint.classify(batch) for batch in batches]
    before_s, began_s = seconds_of_passes(metrics), time.perf_counter()
    batcher = MicroBatcher(joint, max_waiting_texts=1_000)
    stream = [batcher.begin(batch) for batch in batches]
    callers = [batcher.submit(batch) for batch in batches]
    for batch, answers in zip(stream, wanted, strict=True):
        assert_same(batch.result(30), answers)
    for caller, answers in zip(callers, wanted, strict=True):
        assert_same([future.result(30) for future in caller], answers)
    batcher.close(30)
    assert 0 < seconds_of_passes(metrics) - before_s <= time.perf_counter() - began_s
    assert [runner.waiting for runner in runners] == [0, 0]


def test_a_model_that_breaks_fails_the_batches_that_have_begun_in_another(
    directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    joint, runners = side_by_side(directories)
    monkeypatch.setattr(joint.engines[1].network.bert, "forward", None)
    batcher = MicroBatcher(joint, max_waiting_texts=100)
    stream = [batcher.begin(MANY), batcher.begin(MANY[::-1])]
    with pytest.raises(ModelError, match=joint.engines[1].name):
        stream[0].result(30)
    with pytest.raises(ModelError):
        stream[1].result(30)
    batcher.close(30)
    assert [runner.waiting for runner in runners] == [0, 0]


def assert_same(found: Sequence[Answer | Unanswerable], wanted: Sequence[Answer | Unanswerable]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert isinstance(one, Answer)
        assert isinstance(other, Answer)
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


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
