"""Several models beside each other, pass by pass: in turns with others, given up, and one that breaks."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from consumer.answer import Answer, ModelPass, Unanswerable
from consumer.jobs import ModelGoneError
from consumer.micro_batcher import MicroBatcher
from consumer.model import Engine, ModelError
from consumer.model.joint import JointEngine
from consumer.telemetry.metrics import Metrics
from tests.pass_engine import interleaved
from tests.side_by_side import SideBySide, seconds_of_passes
from tests.tiny_engine import tiny_engine
from tests.tiny_models import MOOD, save_classifier, save_tagger


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "both": save_classifier(tmp_path_factory.mktemp("both")),
        "mood": save_tagger(tmp_path_factory.mktemp("mood"), MOOD),
    }


@pytest.fixture
def engines(directories: dict[str, Path]) -> dict[str, Engine]:
    return {name: tiny_engine(directory) for name, directory in directories.items()}


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
