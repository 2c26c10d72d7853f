"""What the benchmarks of streams conclude from what they see."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from consumer.answer import ModelPass
from consumer.telemetry.metrics import Metrics
from tests.benchmarks import rig
from tests.benchmarks.peers.classifier import Classifier
from tests.benchmarks.rig import Look, Rig, StreamError, rate_per_s
from tests.benchmarks.stages import MODEL, Counts, counts


class CountedRig:
    """Has so many results at each look; the looks are a second apart."""

    def __init__(self, *results: int) -> None:
        self._looks = iter([Look(float(second), count) for second, count in enumerate(results)])

    def look(self, _topic: str) -> Look:
        return next(self._looks)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    monkeypatch.setattr(rig, "STARTED_WITHIN_S", 5.0)


def rate(*results: int, seconds: float = 2.0, warm_up: int = 0, most: int = 1_000, dead: bool = False) -> float:
    def raise_if_dead() -> None:
        if dead:
            raise StreamError("it ended")

    here = cast(Rig, CountedRig(*results))
    return rate_per_s(here, "results", seconds, warm_up=warm_up, most=most, raise_if_dead=raise_if_dead)


def test_a_rate_runs_from_one_arrival_to_another() -> None:
    assert rate(0, 0, 100, 100, 200, 200, 999) == 50


def test_what_comes_while_warming_up_does_not_count() -> None:
    assert rate(500, 510, 610, 710, warm_up=505) == 100


def test_a_stream_that_has_done_all_is_waited_for_no_longer() -> None:
    assert rate(10, 30, seconds=100, most=30) == 20


def test_one_burst_tells_no_rate() -> None:
    with pytest.raises(StreamError, match="at once"):
        rate(0, 30, most=30)


def test_a_stream_that_stands_still_is_given_up() -> None:
    with pytest.raises(StreamError, match="only 10"):
        rate(10, *[10] * 20)


def test_a_stream_that_ended_is_not_waited_for() -> None:
    with pytest.raises(StreamError, match="it ended"):
        rate(dead=True)


def test_the_time_of_each_part_is_read_from_the_members_own_metrics() -> None:
    metrics = Metrics()
    for stage, seconds in (("prepare", 1.0), ("classify", 4.0), ("publish", 2.0), ("classify", 6.0)):
        metrics.worked(stage, 0.5, seconds)
    metrics.model_pass(ModelPass(texts=8, tokens=100, padded_tokens=128, began_s=1.0, ended_s=10.0))
    found = counts(generate_latest(metrics.registry).decode(), at_s=3.0)
    assert found == Counts(3.0, 0.0, {"prepare": 1.0, MODEL: 9.0, "publish": 2.0})


class CountingPipeline:
    """Finds every text positive and remembers which it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str], **_options: object) -> list[list[dict[str, Any]]]:
        self.asked += texts
        logits = {"negative": 0.1, "positive": 2.0, "toxic": 3.0}
        return [[{"label": label, "score": score} for label, score in logits.items()] for _ in texts]


@pytest.mark.parametrize(("cache", "asked"), [(False, ["a", "b", "a", "b"]), (True, ["a", "b"])])
def test_a_peer_with_our_cache_classifies_a_text_once(
    monkeypatch: pytest.MonkeyPatch, cache: bool, asked: list[str]
) -> None:
    counting = CountingPipeline()
    monkeypatch.setattr("tests.benchmarks.peers.classifier.pipeline", lambda *_, **__: counting)
    classify = Classifier("model", cache)
    results = classify([{"id": "1", "text": "a"}, {"id": "2", "text": "b"}, {"id": "3", "text": "a"}])
    results += classify([{"id": "4", "text": "b"}])
    assert results == [{"id": str(number), "sentiment": "positive", "toxic": 3.0} for number in range(1, 5)]
    assert counting.asked == asked
