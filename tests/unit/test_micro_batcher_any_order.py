"""The micro-batcher under calls, take-backs, passes, a break and a close in any order."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.admission import QueueFullError
from consumer.answer import Answer, Unanswerable
from consumer.jobs import Answers, ModelGoneError
from consumer.micro_batcher import MicroBatcher
from consumer.model.errors import ModelError
from tests.pass_engine import DEADLINE_S, PassEngine, answer_to, in_thread


class AnyOrder:
    """A batcher, and what everybody who asked it was told; its steps may come in any order."""

    def __init__(self, passes_at_once: int) -> None:
        self.engine = PassEngine(texts_per_pass=2, passes_at_once=passes_at_once)
        self.batcher = MicroBatcher(self.engine, max_waiting_texts=20)
        self.asked: list[tuple[str, Future[Answer | Unanswerable]]] = []
        self.taken_back: set[str] = set()
        self.streams: list[tuple[list[str], Future[Answers]]] = []
        self.closing: Future[None] | None = None
        self.number = 0

    def texts(self, count: int) -> list[str]:
        self.number += count
        return ["t" * (self.number - position) for position in range(count)]

    def submit(self, count: int) -> None:
        texts = self.texts(count)
        with suppress(QueueFullError, ModelGoneError):
            self.asked += zip(texts, self.batcher.submit(texts), strict=True)
        assert self.batcher.waiting_texts <= 20

    def take_back(self, number: int) -> None:
        for text, future in self.asked[number::5]:
            if future.cancel():
                self.taken_back.add(text)

    def classify(self, count: int) -> None:
        texts = self.texts(count)
        self.streams.append((texts, self.batcher.begin(texts)))

    def let_passes_run(self, passes: int) -> None:
        self.engine.allow(passes + 1)
        time.sleep(0.001)

    def break_model(self, number: int) -> None:
        if number == 0:
            self.engine.error = ModelError("broken")

    def close(self, number: int) -> None:
        if number == 0 and self.closing is None:
            self.closing = in_thread(lambda: self.batcher.close(DEADLINE_S))

    def everybody_was_answered_once(self) -> None:
        self.engine.open()
        if self.closing is None and self.engine.error is None:
            for _, outcome in self.streams:
                outcome.result(DEADLINE_S)
        (self.closing or in_thread(lambda: self.batcher.close(DEADLINE_S))).result(DEADLINE_S)
        assert not self.batcher.vitals()[0].alive
        for text, future in self.asked:
            assert future.done()
            assert future.cancelled() == (text in self.taken_back)
            if not future.cancelled():
                error = future.exception()
                assert future.result() == answer_to(text) if error is None else isinstance(error, ModelGoneError)
        for texts, outcome in self.streams:
            failure = outcome.exception(DEADLINE_S)
            expected = [answer_to(text) for text in texts]
            assert outcome.result() == expected if failure is None else isinstance(failure, ModelError | ModelGoneError)
        assert not self.taken_back & set(self.engine.classified)
        assert len(set(self.engine.classified)) == len(self.engine.classified)
        if self.engine.error is None:  # a close answers the callers who wait
            assert all(future.exception() is None for _, future in self.asked if not future.cancelled())


steps = st.tuples(
    st.sampled_from([AnyOrder.submit, AnyOrder.take_back, AnyOrder.classify, AnyOrder.let_passes_run])
    | st.sampled_from([AnyOrder.break_model, AnyOrder.close]),
    st.integers(0, 12),
)


@given(st.lists(steps, max_size=25), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_in_any_order_of_events_everybody_is_answered_exactly_once(
    events: list[tuple[Callable[[AnyOrder, int], None], int]], passes_at_once: int
) -> None:
    run = AnyOrder(passes_at_once)
    for event, number in events:
        event(run, number)
    run.everybody_was_answered_once()
