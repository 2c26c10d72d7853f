"""One model for the stream and for HTTP callers, who have their turn between two of the stream's forward passes."""

import math
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Condition, Thread
from typing import NamedTuple, Protocol

import structlog

from consumer.answer import Answer, Unanswerable
from consumer.errors import ReaderError
from consumer.health import Vital
from consumer.telemetry.logs import frames_of

log = structlog.get_logger()

Answers = list[Answer | Unanswerable]
Job = Generator[None, None, None]
"""Stops between two forward passes, and after the last gives its answers to those who wait for them."""

IDLE_BEAT_S = 1.0
TURN_TEXTS = 256
"""Texts of HTTP callers classified together, as many as the stream's batch has by default, so that where many wait
their passes are as full as the stream's: with 64 they held 15 texts against 28, and callers got a third of the model.
"""
RATE_SMOOTHING = 0.5
"""How much of the rate of late a turn renews."""
TELLING_TEXTS, TELLING_S = 32, 1.0
"""A turn of fewer texts that is done sooner says little of what a full one takes: beside a busy stream even one text
sits out a pass of it, and callers judged by that would be refused, and turns stay small."""
WAIT_SHARE = 0.5
"""How much of a caller's deadline the texts before its own may take, at the rate of late. That rate halves where the
stream begins to take every other pass, or more where passes are small, and falls further while thousands of callers are
refused; who was let in before shall have an answer still. With two fifths one caller in 200 was refused at 80 % of the
capacity without need; with a half none was, and at three times the capacity one in a hundred waited 6.8 s of 10."""
MOST_RETRY_S = 60.0


class SteppedEngine(Protocol):
    """An engine that lets others in between two forward passes."""

    def model_text(self, text: str) -> str:
        """The text as the model sees it; from any thread."""
        ...

    def steps(self, model_texts: Sequence[str]) -> Generator[None, None, Answers]:
        """Classify, stopping between two forward passes. Raises when the model itself is broken."""
        ...


class QueueFullError(Exception):
    """Too many texts wait already; worth another try after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class ModelGoneError(ReaderError):
    """The model failed on ordinary texts, or is being let go: nothing is classified any more."""


class _Waiting(NamedTuple):
    text: str
    answer: "Future[Answer | Unanswerable]"


class MicroBatcher:
    """Owns the engine on a thread of its own, and is the stream's engine (`classify`) and the HTTP callers' (`submit`).

    Texts of concurrent callers share forward passes. While both the stream and callers wait, passes alternate between
    them: under any load the stream keeps every other pass, and a caller waits for those of its passes that have begun,
    not for a batch.
    """

    def __init__(self, engine: SteppedEngine, max_waiting_texts: int) -> None:
        self._engine = engine
        self._max_waiting_texts = max_waiting_texts
        self._changed = Condition()
        self._waiting: deque[_Waiting] = deque()
        self._bulk: tuple[Sequence[str], Future[Answers]] | None = None
        self._closed = False
        self._error: BaseException | None = None
        self._turn_texts = 0
        self._due_since_s = 0.0
        self._texts_per_s = 0.0
        self._moved_at_s = time.monotonic()
        self._thread = Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting_texts(self) -> int:
        """How many texts of HTTP callers wait for the model."""
        return len(self._waiting)

    @property
    def error(self) -> BaseException | None:
        """What broke the model; from then on every call raises `ModelGoneError`."""
        return self._error

    def vitals(self) -> list[Vital]:
        """Whether the model's thread lives, and since when it has stood still. From any thread."""
        return [Vital("model", self._thread.is_alive(), self._moved_at_s)]

    def model_text(self, text: str) -> str:
        """The text as the model sees it; from any thread."""
        return self._engine.model_text(text)

    def classify(self, model_texts: Sequence[str]) -> Answers:
        """The stream's way in: answer every text, in order; blocks. One thread at a time. Raises what the engine
        raises."""
        answers: Future[Answers] = Future()
        with self._changed:
            self._require_open()
            self._bulk = (model_texts, answers)
            self._changed.notify()
        return answers.result()

    def submit(self, model_texts: Sequence[str], within_s: float = math.inf) -> "list[Future[Answer | Unanswerable]]":
        """The HTTP callers' way in, all of the texts or none: one future per text, in order; does not block.

        A future that is cancelled before its text's turn costs nothing. Raises `ModelGoneError`, or `QueueFullError`
        where too many texts wait, or so many that these might not be answered `within_s`: a caller who is refused at
        once can go elsewhere, one who waits in vain cannot.
        """
        entries = [_Waiting(text, Future()) for text in model_texts]
        with self._changed:
            self._require_open()
            if len(self._waiting) + len(entries) > self._max_waiting_texts or self._queue_s() > WAIT_SHARE * within_s:
                raise QueueFullError(self._retry_after_s())
            if not self._texts_ahead():
                self._due_since_s = time.monotonic()
            self._waiting.extend(entries)
            self._changed.notify()
        return [entry.answer for entry in entries]

    def close(self, timeout_s: float) -> None:
        """Take nothing more, answer what waits, and end the thread; what is not answered within `timeout_s` is refused,
        and a model that hangs is left alone: it would let the process hang with it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("model_did_not_finish", waited_s=timeout_s, meaning="what waited for it is refused")
            self._refuse_the_rest()

    def _require_open(self) -> None:
        if self._closed or self._error is not None:
            raise ModelGoneError("the model is gone: " + ("this process is ending" if self._closed else "it failed"))

    def _retry_after_s(self) -> float:
        return min(MOST_RETRY_S, self._queue_s()) if self._texts_per_s else 1.0

    def _queue_s(self) -> float:
        """How long what was taken in will take, at the rate of late; 0 while that is not known."""
        return self._texts_ahead() / self._texts_per_s if self._texts_per_s else 0.0

    def _texts_ahead(self) -> int:
        return len(self._waiting) + self._turn_texts

    def _run(self) -> None:
        stream: Job | None = None
        callers: Job | None = None
        try:
            while stream or callers or self._wait_for_work():
                stream = self._one_pass(stream or self._next_bulk())
                callers = self._one_pass(callers or self._next_turn())
        except BaseException as error:
            log.error("model_failed", error=type(error).__name__, frames=frames_of(error))
            self._error = error
            for job in (stream, callers):
                if job:
                    with suppress(BaseException):
                        job.throw(error)
            self._refuse_the_rest()

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._closed or self._waiting or self._bulk):
                self._moved_at_s = time.monotonic()
                self._changed.wait(IDLE_BEAT_S)
            return bool(self._waiting or self._bulk)

    def _one_pass(self, job: Job | None) -> Job | None:
        """Let it run the model once; None when it is done."""
        self._moved_at_s = time.monotonic()
        if job:
            with suppress(StopIteration):
                next(job)
                return job
        return None

    def _next_bulk(self) -> Job | None:
        with self._changed:
            bulk, self._bulk = self._bulk, None
        return self._answer_stream(*bulk) if bulk else None

    def _next_turn(self) -> Job | None:
        """What callers wait for, as much as fits into a turn; who has gone meanwhile takes no room in it."""
        taken: list[_Waiting] = []
        with self._changed:
            while self._waiting and len(taken) < TURN_TEXTS:
                entry = self._waiting.popleft()
                if entry.answer.set_running_or_notify_cancel():
                    taken.append(entry)
            self._turn_texts = len(taken)
        return self._answer_callers(taken) if taken else None

    def _answer_stream(self, model_texts: Sequence[str], answers: "Future[Answers]") -> Job:
        try:
            found = yield from self._engine.steps(model_texts)
        except BaseException as error:
            answers.set_exception(error)
            raise
        answers.set_result(found)

    def _answer_callers(self, taken: list[_Waiting]) -> Job:
        try:
            found = yield from self._engine.steps([entry.text for entry in taken])
        except BaseException:
            for entry in taken:
                entry.answer.set_exception(ModelGoneError("the model failed"))
            raise
        for entry, answer in zip(taken, found, strict=True):
            entry.answer.set_result(answer)
        with self._changed:
            self._measure_turn(time.monotonic())

    def _measure_turn(self, now_s: float) -> None:
        """Since the turn before, or since somebody waits: the stream's passes in between are part of a turn."""
        took_s = now_s - self._due_since_s
        if self._turn_texts >= TELLING_TEXTS or took_s >= TELLING_S:
            rate = self._turn_texts / max(took_s, 1e-6)
            self._texts_per_s += (rate - self._texts_per_s) * (RATE_SMOOTHING if self._texts_per_s else 1.0)
        self._turn_texts = 0
        self._due_since_s = now_s

    def _refuse_the_rest(self) -> None:
        with self._changed:
            waiting, bulk = list(self._waiting), self._bulk
            self._waiting.clear()
            self._bulk = None
        for entry in waiting:
            if entry.answer.set_running_or_notify_cancel():
                entry.answer.set_exception(ModelGoneError("the model is gone"))
        if bulk:
            bulk[1].set_exception(ModelGoneError("the model is gone"))
