"""The engine where what runs the model has several passes side by side."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from consumer.answer import Answer, Unanswerable
from consumer.jobs import ModelGoneError
from consumer.micro_batcher import MicroBatcher
from consumer.model import Engine, ModelError
from consumer.telemetry.metrics import Metrics
from tests.pass_engine import interleaved
from tests.side_by_side import SideBySide, seconds_of_passes
from tests.tiny_engine import answers, tiny_engine
from tests.tiny_models import save_classifier
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture
def engine(directory: Path) -> Engine:
    return tiny_engine(directory)


class Broken(SideBySide):
    """Every pass fails from when five had begun and `breaks` is set."""

    def __init__(self, engine: Engine, error: Exception) -> None:
        super().__init__(engine, error)
        self.breaks = threading.Event()

    def forward(self, *laid_out: torch.Tensor) -> Any:
        if self.most_waiting == 2 + 3:
            assert self.breaks.wait(20)
            raise self._error
        return super().forward(*laid_out)


def test_a_pass_that_fails_beside_others_leaves_them_unharmed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'z' if number % 10 == 7 else 'a'} {number}" for number in range(60)]
    runner = SideBySide(engine, RuntimeError("the text was: z"))
    wanted = answers(engine, [text for text in texts if "z" not in text])
    monkeypatch.setattr(engine._passes, "runner", runner)
    found = engine.classify(texts)
    assert runner.most_waiting == 3
    assert [isinstance(answer, Unanswerable) for answer in found] == ["z" in text for text in texts]
    for answer, want in zip([answer for answer in found if isinstance(answer, Answer)], wanted, strict=True):
        assert answer.scores == pytest.approx(want.scores, abs=1e-4)


def test_a_pass_that_cannot_begin_beside_others_is_run_when_its_turn_comes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"a {number}" for number in range(60)]
    wanted = answers(engine, texts)
    monkeypatch.setattr(engine._passes, "runner", SideBySide(engine, RuntimeError(), begins=False))
    for answer, want in zip(answers(engine, texts), wanted, strict=True):
        assert answer.scores == pytest.approx(want.scores, abs=1e-4)


def test_passes_that_nobody_wants_any_more_are_waited_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = SideBySide(engine, RuntimeError())
    monkeypatch.setattr(engine._passes, "runner", runner)
    steps = engine.steps([f"a {number}" for number in range(60)])
    assert [next(steps), next(steps)] == [False, False]
    assert runner.waiting == 2 + 1  # one was waited for, and the next has begun
    steps.close()
    assert runner.waiting == 0


def test_the_times_of_passes_side_by_side_add_up_to_no_more_than_what_passed(directory: Path) -> None:
    metrics = Metrics()
    engine = tiny_engine(directory, metrics.model_pass)
    engine._passes.runner = SideBySide(engine, RuntimeError())
    began_s = time.perf_counter()
    engine.classify([f"a {number}" for number in range(200)])
    assert 0 < seconds_of_passes(metrics) <= time.perf_counter() - began_s


def test_few_passes_take_all_there_is_one_after_the_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = SideBySide(engine, RuntimeError())
    monkeypatch.setattr(engine._passes, "runner", runner)
    assert len(answers(engine, ["a", "b c d e f g h", "a b"])) == 3
    assert runner.most_waiting == 0


def test_it_says_when_no_more_of_its_passes_are_to_begin_so_that_another_job_s_may(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ([f"{letter} {number}" for number in range(60)] for letter in "ab")
    wanted = answers(engine, first), answers(engine, second)
    runner = SideBySide(engine, RuntimeError())
    monkeypatch.setattr(engine._passes, "runner", runner)
    job, following = engine.steps(first), engine.steps(second)
    while not next(job):
        assert runner.waiting == 3
    assert runner.waiting == 2
    assert next(following) is False
    assert runner.waiting == 2 + 3
    found = interleaved({"job": job, "following": following})
    assert runner.waiting == 0
    for answer, want in zip(found["job"] + found["following"], wanted[0] + wanted[1], strict=True):
        assert isinstance(answer, Answer)
        assert answer.scores == pytest.approx(want.scores, abs=1e-4)


def test_a_model_that_breaks_leaves_no_pass_of_two_batches_unwaited(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Broken(engine, RuntimeError("broken"))
    monkeypatch.setattr(engine._passes, "runner", runner)
    batcher = MicroBatcher(engine, 0)
    batches = [batcher.begin([f"{letter} {number}" for number in range(300)]) for letter in "ab"]
    wait_until(lambda: runner.most_waiting == 2 + 3)
    runner.breaks.set()
    for batch in batches:
        with pytest.raises((ModelError, ModelGoneError)):
            batch.result(20)
    wait_until(lambda: not batcher.vitals()[0].alive)
    assert runner.waiting == 0


def test_few_passes_never_say_that_another_job_s_may_begin(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._passes, "runner", SideBySide(engine, RuntimeError()))
    assert not any(engine.steps(["a", "b c d e f g h", "a b"]))
