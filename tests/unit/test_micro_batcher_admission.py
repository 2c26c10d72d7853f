"""One model for the stream and for callers: who is let in, and who is refused at once with when to come back."""

import time

import pytest

from consumer import admission
from consumer.admission import MOST_RETRY_S, QueueFullError
from tests.pass_engine import DEADLINE_S, PassEngine, batcher_of, results
from tests.waiting import wait_until


def test_beyond_the_queue_all_of_a_caller_s_texts_are_refused_with_when_to_come_back() -> None:
    engine = PassEngine()
    with batcher_of(engine, max_waiting_texts=4) as batcher:
        batcher.submit(["first"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        waiting = batcher.submit(["a", "b", "c"])
        with pytest.raises(QueueFullError) as unmeasured:
            batcher.submit(["d", "e"])
        assert unmeasured.value.retry_after_s == 1.0
        assert batcher.waiting_texts == 3
        waiting += batcher.submit(["d"])
        engine.allow(1)
        wait_until(lambda: batcher.waiting_texts == 0)  # they are in the model, and the first was measured
        waiting += batcher.submit(["a", "b", "c", "d"])
        with pytest.raises(QueueFullError) as measured:
            batcher.submit(["e"])
        assert 0.0 < measured.value.retry_after_s <= MOST_RETRY_S
        engine.open()
        results(waiting)
    assert "e" not in engine.classified


def test_a_text_that_would_wait_in_vain_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "TELLING_TEXTS", 1)
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        engine.allow(1)
        results(batcher.submit(["first"], within_s=1e-9))  # nothing waits, and no rate is known
        batcher.submit(["runs"])
        for _ in range(2):
            assert engine.begun.acquire(timeout=DEADLINE_S)
        waiting = batcher.submit(["waits"])
        with pytest.raises(QueueFullError):
            batcher.submit(["in vain"], within_s=1e-9)
        engine.open()
        assert len(results(waiting)) == 1
    assert "in vain" not in engine.classified


def test_the_rate_that_waits_are_judged_by_counts_the_streams_passes_between_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "TELLING_TEXTS", 1)
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        stream = batcher.begin(["s"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        first = batcher.submit(["first"])
        time.sleep(0.2)  # the stream's pass, which the caller's text sits out
        engine.allow(2)
        results(first)
        stream.result(DEADLINE_S)
        batcher.submit(["runs"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        with pytest.raises(QueueFullError) as refused:
            batcher.submit(["in vain"], within_s=0.3)  # one text ahead took 0.2 s
        assert refused.value.retry_after_s >= 0.2
        assert batcher.submit(["in time"], within_s=DEADLINE_S)
        engine.open()


def test_single_callers_beside_a_busy_stream_do_not_make_a_burst_look_hopeless() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        for _ in range(3):
            stream = batcher.begin(["s"])
            assert engine.begun.acquire(timeout=DEADLINE_S)
            single = batcher.submit(["single"])
            time.sleep(0.1)
            engine.allow(2)
            results(single)
            stream.result(DEADLINE_S)
            assert engine.begun.acquire(timeout=DEADLINE_S)
        burst = [batcher.submit(["burst"], within_s=0.5) for _ in range(20)]
        engine.open()
        for futures in burst:
            results(futures)
