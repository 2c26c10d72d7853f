"""One model for the stream and for callers: who has his turn when, and that everybody is answered."""

import asyncio
import time

import pytest

from consumer.jobs import ModelGoneError
from consumer.micro_batcher import TURN_TEXTS, MicroBatcher
from consumer.model.errors import ModelError
from tests.pass_engine import DEADLINE_S, PassEngine, answer_to, batcher_of, in_thread, results
from tests.waiting import wait_until


def test_every_text_gets_its_own_answer() -> None:
    engine = PassEngine(texts_per_pass=3)
    engine.open()
    with batcher_of(engine) as batcher:
        texts = ["a" * length for length in range(1, 100)] + ["poison"]
        assert results(batcher.submit(texts)) == [answer_to(text) for text in texts]
        assert batcher.begin(texts).result(DEADLINE_S) == [answer_to(text) for text in texts]
        assert batcher.begin([]).result(DEADLINE_S) == []
        assert batcher.submit([]) == []


def test_texts_of_callers_that_wait_share_a_pass() -> None:
    engine = PassEngine(texts_per_pass=64)
    with batcher_of(engine) as batcher:
        first = batcher.submit(["first"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        later = [future for caller in range(5) for future in batcher.submit([f"{caller}-a", f"{caller}-b"])]
        engine.open()
        results(first + later)
    assert [len(texts) for texts in engine.passes] == [1, 10]


@pytest.mark.parametrize("passes_at_once", [1, 3])
def test_while_both_wait_passes_alternate_between_the_stream_and_the_callers(passes_at_once: int) -> None:
    engine = PassEngine(passes_at_once=passes_at_once)
    with batcher_of(engine) as batcher:
        batcher.submit(["c"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        stream = batcher.begin(["s"] * 50)
        callers = batcher.submit(["c"] * 3 * TURN_TEXTS)
        engine.open()
        assert len(stream.result(DEADLINE_S)) == 50
        results(callers)
    order = "".join(engine.classified)
    assert order.startswith("c" + "sc" * 50)  # one text a pass: neither has two in a row while the other waits
    assert order.count("c") == 1 + 3 * TURN_TEXTS


def test_a_batch_that_comes_during_the_turn_of_callers_waits_for_one_pass() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        callers = batcher.submit(["c"] * TURN_TEXTS)
        assert engine.begun.acquire(timeout=DEADLINE_S)
        stream = batcher.begin(["s"])
        engine.allow(2)
        assert stream.result(DEADLINE_S) == [answer_to("s")]
        assert not callers[-1].done()
    assert engine.classified[:2] == ["c", "s"]


def test_the_next_batch_begins_beside_the_last_passes_of_the_one_before() -> None:
    engine = PassEngine(passes_at_once=3)
    with batcher_of(engine) as batcher:
        first, second = batcher.begin(["a"] * 5), batcher.begin(["bb"] * TURN_TEXTS)
        engine.allow(2)
        wait_until(lambda: len(engine.passes) == 2)
        assert engine.jobs == [["a"] * 5]
        engine.allow(1)
        wait_until(lambda: len(engine.jobs) == 2)
        assert engine.classified == ["a"] * 3
        engine.open()
        assert first.result(DEADLINE_S) == [answer_to("a")] * 5
        assert second.result(DEADLINE_S) == [answer_to("bb")] * TURN_TEXTS
    assert engine.classified == ["a"] * 5 + ["bb"] * TURN_TEXTS


def test_a_batch_of_one_pass_has_the_next_one_beside_it_and_no_more() -> None:
    engine = PassEngine(texts_per_pass=TURN_TEXTS, passes_at_once=2)
    with batcher_of(engine) as batcher:
        batches = [batcher.begin([text] * TURN_TEXTS) for text in "abcd"]
        for waited_for in range(3):
            assert engine.begun.acquire(timeout=DEADLINE_S)
            assert (len(engine.passes), len(engine.jobs)) == (waited_for, waited_for + 2)
            engine.allow(1)
        engine.open()
        assert [batch.result(DEADLINE_S)[0] for batch in batches] == [answer_to(text) for text in "abcd"]


def test_where_passes_run_one_at_a_time_a_batch_waits_for_the_end_of_the_one_before() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        first, second = batcher.begin(["a"] * 5), batcher.begin(["bb"] * TURN_TEXTS)
        engine.allow(4)
        wait_until(lambda: len(engine.passes) == 4)
        assert engine.jobs == [["a"] * 5]
        engine.open()
        assert first.result(DEADLINE_S) + second.result(DEADLINE_S) == [answer_to(text) for text in engine.classified]


def test_small_batches_that_wait_share_passes_and_each_has_its_own_answers() -> None:
    engine = PassEngine(texts_per_pass=2 * TURN_TEXTS)
    sizes = (1, 10, 20, TURN_TEXTS, 3)
    with batcher_of(engine) as batcher:
        batches = [["x" * (1 + number)] * size for number, size in enumerate(sizes)]
        futures = [batcher.begin(batches[0])]
        assert engine.begun.acquire(timeout=DEADLINE_S)
        futures += [batcher.begin(batch) for batch in batches[1:]]
        engine.open()
        for batch, future in zip(batches, futures, strict=True):
            assert future.result(DEADLINE_S) == [answer_to(text) for text in batch]
    assert [len(texts) for texts in engine.passes] == [1, 30, TURN_TEXTS, 3]


def test_a_text_taken_back_before_its_turn_costs_nothing_and_takes_no_room() -> None:
    engine = PassEngine(texts_per_pass=TURN_TEXTS)
    with batcher_of(engine) as batcher:
        batcher.submit(["first"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        gone = batcher.submit(["gone"] * 2 * TURN_TEXTS)
        kept = batcher.submit(["kept"] * TURN_TEXTS)
        assert all(future.cancel() for future in gone)
        engine.open()
        results(kept)
    assert [len(texts) for texts in engine.passes] == [1, TURN_TEXTS]
    assert "gone" not in engine.classified


def test_a_text_in_the_model_cannot_be_taken_back_and_is_answered() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        (future,) = batcher.submit(["running"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        assert not future.cancel()
        engine.open()
        assert future.result(DEADLINE_S) == answer_to("running")


def test_an_awaited_text_is_taken_back_from_the_event_loop() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        batcher.submit(["first"])
        assert engine.begun.acquire(timeout=DEADLINE_S)

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(batcher.submit(["gone"])[0]), 0.01)

        asyncio.run(give_up())
        after = batcher.submit(["after"])
        engine.open()
        results(after)
    assert engine.classified == ["first", "after"]


def test_a_close_answers_the_callers_who_wait_and_refuses_what_comes_and_what_the_stream_gave_up() -> None:
    engine = PassEngine()
    batcher = MicroBatcher(engine, 1_024)
    callers = batcher.submit(["c"] * 3 * TURN_TEXTS)
    assert engine.begun.acquire(timeout=DEADLINE_S)
    streams = [batcher.begin(["s"] * TURN_TEXTS) for _ in range(3)]
    closing = in_thread(lambda: batcher.close(DEADLINE_S))
    wait_until(lambda: batcher._closed)
    for call in (batcher.submit, lambda texts: batcher.begin(texts).result(DEADLINE_S)):
        with pytest.raises(ModelGoneError, match="this process is ending"):
            call(["late"])
    engine.open()
    closing.result(DEADLINE_S)
    assert all(future.done() for future in callers)
    for given_up in streams:
        with pytest.raises(ModelGoneError):
            given_up.result(DEADLINE_S)
    assert "late" not in engine.classified
    assert engine.classified.count("s") <= 1, "one pass had begun"
    assert batcher.error is None


def test_a_close_does_not_wait_for_a_model_that_hangs_and_refuses_what_waited_for_it() -> None:
    engine = PassEngine()
    batcher = MicroBatcher(engine, 1_024)
    batcher.submit(["hangs"])
    assert engine.begun.acquire(timeout=DEADLINE_S)
    waiting = batcher.submit(["waits"])
    stream = batcher.begin(["waits too"])
    batcher.close(timeout_s=0.05)
    assert batcher.vitals()[0].alive
    for refused in (waiting[0], stream):
        with pytest.raises(ModelGoneError):
            refused.result(DEADLINE_S)
    engine.open()


def broken(engine: PassEngine, batcher: MicroBatcher) -> None:
    """Everything there is to know of a batcher whose model broke."""
    wait_until(lambda: batcher.error is not None)
    wait_until(lambda: not batcher.vitals()[0].alive)
    assert batcher.error is engine.error
    for call in (batcher.submit, lambda texts: batcher.begin(texts).result(DEADLINE_S)):
        with pytest.raises(ModelGoneError, match="it failed"):
            call(["late"])


def test_a_model_that_breaks_in_a_caller_s_turn_fails_everybody_who_waits_and_is_dead() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        first = batcher.submit(["c"] * 2)
        assert engine.begun.acquire(timeout=DEADLINE_S)
        stream = batcher.begin(["s"] * 5)
        waiting = batcher.submit(["w"] * 5)
        engine.allow(2)  # one of the caller's, one of the stream's
        wait_until(lambda: len(engine.passes) == 2)
        engine.error = ModelError("the model is gone")
        engine.open()
        with pytest.raises(ModelError, match="the model is gone"):
            stream.result(DEADLINE_S)
        for future in [*first, *waiting]:
            with pytest.raises(ModelGoneError):
                future.result(DEADLINE_S)
        broken(engine, batcher)


def test_a_model_that_breaks_in_the_stream_s_pass_fails_everybody_who_waits_and_is_dead() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        stream = batcher.begin(["s"] * 5)
        assert engine.begun.acquire(timeout=DEADLINE_S)
        running = batcher.submit(["c"] * 2)
        engine.allow(2)
        wait_until(lambda: len(engine.passes) == 2)
        waiting = batcher.submit(["w"])
        engine.error = ModelError("the model is gone")
        engine.open()
        with pytest.raises(ModelError, match="the model is gone"):
            stream.result(DEADLINE_S)
        for future in [*running, *waiting]:
            with pytest.raises(ModelGoneError):
                future.result(DEADLINE_S)
        broken(engine, batcher)


def test_an_idle_model_moves_and_one_that_is_stuck_does_not() -> None:
    engine = PassEngine()
    with batcher_of(engine) as batcher:
        idle_at_s = batcher.vitals()[0].moved_at_s
        wait_until(lambda: batcher.vitals()[0].moved_at_s > idle_at_s)
        batcher.submit(["stuck"])
        assert engine.begun.acquire(timeout=DEADLINE_S)
        stuck = batcher.vitals()[0]
        time.sleep(1.5)  # longer than an idle thread stands still
        assert batcher.vitals() == [stuck]
        assert stuck.alive


def test_many_threads_at_once_get_their_own_answers() -> None:
    engine = PassEngine(texts_per_pass=7)
    engine.open()
    with batcher_of(engine) as batcher:

        def caller(number: int) -> None:
            for turn in range(60):
                texts = ["x" * (number * 100 + turn + extra) for extra in range(turn % 5)]
                futures = batcher.submit(texts)
                if turn % 3 == 0 and futures:
                    futures.pop(0).cancel()
                    texts.pop(0)
                assert results(futures) == [answer_to(text) for text in texts]

        def stream() -> None:
            for turn in range(60):
                texts = ["y" * (turn + extra) for extra in range(20)]
                assert batcher.begin(texts).result(DEADLINE_S) == [answer_to(text) for text in texts]

        running = [in_thread(stream), *(in_thread(lambda number=number: caller(number)) for number in range(6))]  # type: ignore[misc]
        for outcome in running:
            outcome.result(DEADLINE_S)
