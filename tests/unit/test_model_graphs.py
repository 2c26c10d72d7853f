"""Passes that are graphs, prepared for buckets: all but the GPU itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumer.answer import Unanswerable
from consumer.model import Engine
from consumer.model.backend import with_graphs
from consumer.model.buckets import WIDTH_STEPS, Buckets
from consumer.model.graphs import GraphedNetwork, Lane
from consumer.model.packing import Widths, micro_batches
from consumer.model.rows import OneTextARow, Runner, in_rows, lay_out
from tests.host_lane import HostLane
from tests.tiny_engine import answers, tiny_engine
from tests.tiny_models import MAX_TOKENS, save_classifier

BUDGET = 64
FIRST, SECOND = [[[2, 7, 8, 3]], [[2, 9, 3], [2, 10, 3]]], [[[2, 11, 12, 13, 3]]]

lengths_of_texts = st.lists(st.integers(2, 512), min_size=1, max_size=300)
budgets = st.sampled_from([512, 1_024, 16_384])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture
def engine(directory: Path) -> Engine:
    return tiny_engine(directory)


@pytest.fixture
def network(engine: Engine) -> OneTextARow:
    return in_rows(engine.network, MAX_TOKENS, pad_id=0)


def buckets(network: OneTextARow, budget: int = BUDGET) -> Buckets:
    return Buckets(MAX_TOKENS, budget, shares_rows=network.shares_rows)


def laid_out(rows: Sequence[Sequence[Sequence[int]]]) -> tuple[torch.Tensor, ...]:
    return lay_out(rows, max(sum(map(len, row)) for row in rows), pad_id=0)


def graphed(network: OneTextARow, lane: Lane) -> GraphedNetwork:
    return GraphedNetwork(network, lane, buckets(network), pad_id=0)


def assert_as(runner: Runner, found: torch.Tensor, rows: Sequence[Sequence[Sequence[int]]]) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(found, runner.run(*laid_out(rows)), rtol=0, atol=1e-4)


def test_passes_in_flight_have_memory_of_their_own_and_leave_it_to_the_next(network: OneTextARow) -> None:
    lane = HostLane()
    runner = graphed(network, lane)
    for _ in range(3):
        first, second = runner.begin(*laid_out(FIRST)), runner.begin(*laid_out(SECOND))
        assert_as(network, second(), SECOND)
        assert_as(network, first(), FIRST)
    assert lane.replays == 6
    assert len(runner._idle) == 2


def test_what_a_pass_left_behind_does_not_reach_the_next_one(network: OneTextARow) -> None:
    runner = graphed(network, HostLane())
    longest = [[[2, *range(5, 3 + MAX_TOKENS), 3]]] * 2
    for rows in (longest, SECOND, longest, FIRST):
        assert_as(network, runner.run(*laid_out(rows)), rows)


def test_answers_outlive_the_pass_that_comes_after(network: OneTextARow) -> None:
    runner = graphed(network, HostLane())
    first = runner.run(*laid_out(FIRST))
    runner.run(*laid_out(SECOND))
    assert_as(network, first, FIRST)


def test_a_pass_that_no_bucket_holds_is_run_by_pytorch(network: OneTextARow) -> None:
    lane = HostLane()
    runner = graphed(network, lane)
    many = [[[2, 7, 3]]] * (BUDGET + 1)
    assert_as(network, runner.run(*laid_out(many)), many)
    assert lane.replays == 0


def test_buckets_that_do_not_fit_into_memory_are_left_out_and_their_passes_run_by_pytorch(
    network: OneTextARow,
) -> None:
    every = len(buckets(network).all())
    lane = HostLane(without_memory=every - 1)
    with capture_logs() as logs:
        runner = graphed(network, lane)
    assert [(line["graphs"], line["of"]) for line in logs if line["event"] == "passes_captured"] == [(1, every)]
    for rows in (FIRST, [[[2, 3]]]):
        assert_as(network, runner.run(*laid_out(rows)), rows)
    assert lane.replays == 1  # the smallest bucket came last


def test_what_goes_wrong_on_the_device_is_raised_to_who_waits_and_to_nobody_else(network: OneTextARow) -> None:
    lane = HostLane()
    runner = graphed(network, lane)
    lane.fail_next(RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"))
    failing, following = runner.begin(*laid_out(FIRST)), runner.begin(*laid_out(SECOND))
    with pytest.raises(RuntimeError, match="CUBLAS"):
        failing()
    assert_as(network, following(), SECOND)


def test_an_engine_answers_with_graphs_what_it_answers_without(engine: Engine, network: OneTextARow) -> None:
    texts = [f"{'word ' * (number % 5)}{number}" for number in range(80)]
    wanted = answers(engine, texts)
    lane = HostLane()
    engine._passes.runner = graphed(network, lane)
    for answer, want in zip(answers(engine, texts), wanted, strict=True):
        assert answer.scores == pytest.approx(want.scores, abs=1e-4)
    assert lane.replays > 3


def test_a_pass_that_failed_on_the_device_is_run_again_in_halves(engine: Engine, network: OneTextARow) -> None:
    lane = HostLane()
    engine._passes.runner = graphed(network, lane)
    lane.fail_next(RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"))
    assert not any(isinstance(answer, Unanswerable) for answer in engine.classify(["a", "b", "c d e"]))


def test_a_batch_of_one_pass_lets_the_next_one_begin(engine: Engine, network: OneTextARow) -> None:
    lane = HostLane()
    engine._passes.runner = graphed(network, lane)
    first, second = engine.steps(["a"]), engine.steps(["b"])
    assert next(first) is True
    assert next(second) is True
    assert lane.replays == 2  # both have been told to the device, and none was waited for


def as_it_was_captured(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    logits = run().clone()
    return lambda: logits


def not_permitted(_run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("captured", "reason"),
    [
        (not_permitted, "RuntimeError: operation not permitted when stream is capturing"),
        (as_it_was_captured, "its scores are not PyTorch's"),
    ],
)
def test_graphs_that_cannot_be_or_do_not_answer_as_pytorch_are_not_used_and_it_says_why(
    network: OneTextARow, monkeypatch: pytest.MonkeyPatch, captured: Any, reason: str
) -> None:
    lane = HostLane()
    monkeypatch.setattr(lane, "captured", captured)
    with capture_logs() as logs:
        running = with_graphs(network, lambda: lane, buckets(network), pad_id=0)
    assert running is network
    assert [line["reason"] for line in logs if line["event"] == "cuda_graphs_not_used"] == [reason]


def test_graphs_that_answer_as_pytorch_are_used(network: OneTextARow) -> None:
    running = with_graphs(network, HostLane, buckets(network), pad_id=0)
    assert running.backend == "cuda-graphs"


@given(lengths_of_texts, budgets, st.booleans())
def test_every_pass_of_texts_has_a_bucket_within_the_budget_that_is_captured(
    lengths: list[int], budget: int, shares: bool
) -> None:
    some = Buckets(512, budget, shares_rows=shares)
    widths = Widths(512, WIDTH_STEPS)
    batches = micro_batches(lengths, widths=widths, max_batch_tokens=budget, pass_tokens=1_000, shares_rows=shares)
    for batch in batches:
        width = widths.padded(max(sum(lengths[index] for index in row) for row in batch))
        found = next(some.holding(len(batch), width, sum(map(len, batch))))
        assert found in set(some.all())
        assert found.rows >= len(batch)
        assert found.tokens >= width
        assert found.texts >= sum(map(len, batch))
        assert found.rows * found.tokens <= budget


@given(st.integers(1, 256))
def test_a_bucket_has_at_most_half_as_many_rows_again(rows: int) -> None:
    found = next(Buckets(512, 16_384, shares_rows=True).holding(rows, 64, rows))
    assert found.tokens == 64
    assert found.rows <= 1.5 * rows


def test_there_are_tens_of_buckets_or_some_more_where_each_text_has_a_row() -> None:
    assert len(Buckets(512, 16_384, shares_rows=True).all()) < 60
    assert len(Buckets(512, 16_384, shares_rows=False).all()) < 150
