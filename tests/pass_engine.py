"""A model whose forward passes a test lets run one by one, and what it takes to wait for what other threads do."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from consumer.answer import Answer, Unanswerable
from consumer.jobs import Answers
from consumer.micro_batcher import MicroBatcher

DEADLINE_S = 30.0


class PassEngine:
    """Runs `texts_per_pass` texts at a time, each pass when a test lets it; remembers passes in their order.

    Of a job's passes `passes_at_once` have begun when one is waited for.
    """

    def __init__(self, texts_per_pass: int = 1, passes_at_once: int = 1) -> None:
        self.texts_per_pass = texts_per_pass
        self.passes_at_once = passes_at_once
        self.jobs: list[list[str]] = []
        self.passes: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.error: Exception | None = None
        self._allowed = threading.Semaphore(0)
        self._open = False

    def allow(self, passes: int) -> None:
        self._allowed.release(passes)

    def open(self) -> None:
        self._open = True
        self._allowed.release()

    def model_text(self, text: str) -> str:
        return text

    def steps(self, model_texts: Sequence[str]) -> Generator[bool, None, Answers]:
        answers: Answers = []
        self.jobs.append(list(model_texts))
        ahead = self.texts_per_pass * self.passes_at_once
        for start in range(0, len(model_texts), self.texts_per_pass):
            yield self.passes_at_once > 1 and start + ahead > len(model_texts)
            texts = list(model_texts[start : start + self.texts_per_pass])
            self.begun.release()
            if not self._open:
                assert self._allowed.acquire(timeout=DEADLINE_S)
            if self.error:
                raise self.error
            self.passes.append(texts)
            answers += [answer_to(text) for text in texts]
        return answers

    @property
    def classified(self) -> list[str]:
        return [text for texts in self.passes for text in texts]


def answer_to(text: str) -> Answer | Unanswerable:
    return Unanswerable("it fails") if "poison" in text else Answer((float(len(text)),), truncated=False)


@contextmanager
def batcher_of(engine: PassEngine, max_waiting_texts: int = 1_024) -> Iterator[MicroBatcher]:
    batcher = MicroBatcher(engine, max_waiting_texts)
    try:
        yield batcher
    finally:
        engine.open()
        batcher.close(DEADLINE_S)


def interleaved(jobs: dict[str, Generator[bool, None, Answers]]) -> dict[str, Answers]:
    """What jobs answer that take turns, a step each, until all are done."""
    found: dict[str, Answers] = {}
    while jobs:
        for name, steps in list(jobs.items()):
            try:
                next(steps)
            except StopIteration as done:
                found[name] = done.value
                del jobs[name]
    return found


def results(futures: "Sequence[Future[Answer | Unanswerable]]") -> Answers:
    return [future.result(DEADLINE_S) for future in futures]


def in_thread(call: Callable[[], Any]) -> "Future[Any]":
    """What `call` returns or raises, on a thread of its own."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome
