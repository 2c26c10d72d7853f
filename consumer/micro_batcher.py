"""One model for the stream and for HTTP callers, who have their turn between two of the stream's forward passes."""

import math
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from threading import Condition, Thread

import structlog

from consumer.admission import Admission
from consumer.answer import Answer, Unanswerable
from consumer.health import Vital
from consumer.jobs import (
    Answers,
    Bulk,
    Job,
    ModelGoneError,
    SteppedEngine,
    Waiting,
    answer_callers,
    answer_stream,
    texts_of,
)
from consumer.telemetry.logs import frames_of

log = structlog.get_logger()

IDLE_BEAT_S = 1.0
STREAM_JOBS = 2
"""Of the stream that have begun: the one that is waited for, and the next one beside its last passes."""
TURN_TEXTS = 256
"""Texts of HTTP callers classified together, as many as the stream's batch has by default, so that where many wait
their passes are as full as the stream's: with 64 they held 15 texts against 28, and callers got a third of the model.
Of the stream's batches as many are, where most of their texts have been answered before: 1.06 times the comments per
second with nine of ten repeated.
"""


class MicroBatcher:
    """Owns the engine on a thread of its own, and is the stream's engine (`begin`) and the HTTP callers' (`submit`).

    Texts of concurrent callers share forward passes. While both the stream and callers wait, passes alternate between
    them: under any load the stream keeps every other pass, and a caller waits for those of its passes that have begun,
    not for a batch. The stream's next batch begins beside the last passes of the one before.
    """

    def __init__(self, engine: SteppedEngine, max_waiting_texts: int) -> None:
        self.max_waiting_texts = max_waiting_texts
        self._engine = engine
        self._admission = Admission(max_waiting_texts)
        self._changed = Condition()
        self._waiting: deque[Waiting] = deque()
        self._bulks: deque[Bulk] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._moved_at_s = time.monotonic()
        self._thread = Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting_texts(self) -> int:
        """How many texts of HTTP callers wait for the model."""
        return len(self._waiting)

    @property
    def error(self) -> BaseException | None:
        """What broke the model; from then on every call ends with `ModelGoneError`."""
        return self._error

    def vitals(self) -> list[Vital]:
        """Whether the model's thread lives, and since when it has stood still. From any thread."""
        return [Vital("model", self._thread.is_alive(), self._moved_at_s)]

    def model_text(self, text: str) -> str:
        """The text as the model sees it; from any thread."""
        return self._engine.model_text(text)

    def begin(self, model_texts: Sequence[str]) -> "Future[Answers]":
        """The stream's way in: one answer per text, in order; does not block, and leaves it to its caller to bound what
        waits. What is returned raises what the engine raises, or `ModelGoneError`."""
        bulk = Bulk(model_texts, Future())
        with self._changed:
            if gone := self._gone():
                bulk.answers.set_exception(gone)
            else:
                self._bulks.append(bulk)
                self._changed.notify()
        return bulk.answers

    def check_room(self, texts: int, within_s: float) -> None:
        """Raise `QueueFullError` where `submit` would refuse so many texts now."""
        with self._changed:
            self._admission.check(texts, len(self._waiting), within_s)

    def submit(self, model_texts: Sequence[str], within_s: float = math.inf) -> "list[Future[Answer | Unanswerable]]":
        """The HTTP callers' way in, all of the texts or none: one future per text, in order; does not block.

        A future that is cancelled before its text's turn costs nothing. Raises `ModelGoneError`, or `QueueFullError`
        where too many texts wait, or so many that these might not be answered `within_s`: a caller who is refused at
        once can go elsewhere, one who waits in vain cannot.
        """
        entries = [Waiting(text, Future()) for text in model_texts]
        with self._changed:
            if gone := self._gone():
                raise gone
            self._admission.admit(len(entries), len(self._waiting), within_s)
            self._waiting.extend(entries)
            self._changed.notify()
        return [entry.answer for entry in entries]

    def close(self, timeout_s: float) -> None:
        """Take nothing more, answer the callers who wait, and end the thread; who still waits after `timeout_s` is
        refused, and a model that hangs is left alone: it would let the process hang with it. The stream has ended
        before, and what it asked for and gave up is refused after the pass that runs."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("model_did_not_finish", waited_s=timeout_s, meaning="what waited for it is refused")
            self._refuse_the_rest()

    def _gone(self) -> ModelGoneError | None:
        if self._closed or self._error is not None:
            return ModelGoneError("the model is gone: " + ("this process is ending" if self._closed else "it failed"))
        return None

    def _run(self) -> None:
        stream: deque[Job] = deque()
        callers: deque[Job] = deque()
        try:
            while stream or callers or self._wait_for_work():
                if self._closed:
                    self._refuse_stream(stream)
                self._begin_stream(stream)
                self._one_pass(stream)
                self._begin_stream(stream)
                if not callers and (job := self._next_turn()):
                    callers.append(job)
                self._one_pass(callers)
        except BaseException as error:
            log.error("model_failed", error=type(error).__name__, frames=frames_of(error))
            self._error = error
            for job in (*stream, *callers):
                job.fail(error)
            self._refuse_the_rest()

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._closed or self._waiting or self._bulks):
                self._moved_at_s = time.monotonic()
                self._changed.wait(IDLE_BEAT_S)
            return bool(self._waiting or self._bulks)

    def _one_pass(self, jobs: deque[Job]) -> None:
        """Let the first one run the model once."""
        self._moved_at_s = time.monotonic()
        if jobs:
            jobs[0].step()
            if jobs[0].done:
                jobs.popleft()

    def _begin_stream(self, stream: deque[Job]) -> None:
        """Begin the stream's next job where none has begun, and another beside it as soon as that may be."""
        while not stream or (len(stream) < STREAM_JOBS and stream[-1].others_may_begin):
            job = self._next_bulks()
            if job is None:
                return
            stream.append(job)

    def _next_bulks(self) -> Job | None:
        """What the stream waits for, as much as fits into a turn, or one batch."""
        taken: list[Bulk] = []
        with self._changed:
            while self._bulks and len(texts_of(taken)) + len(self._bulks[0].texts) <= TURN_TEXTS:
                taken.append(self._bulks.popleft())
            if self._bulks and not taken:
                taken.append(self._bulks.popleft())
        return Job(answer_stream(self._engine, taken)) if taken else None

    def _next_turn(self) -> Job | None:
        """What callers wait for, as much as fits into a turn; who has gone meanwhile takes no room in it."""
        taken: list[Waiting] = []
        with self._changed:
            while self._waiting and len(taken) < TURN_TEXTS:
                entry = self._waiting.popleft()
                if entry.answer.set_running_or_notify_cancel():
                    taken.append(entry)
            self._admission.turn_began(len(taken))
        return Job(self._answer_callers(taken)) if taken else None

    def _answer_callers(self, taken: Sequence[Waiting]) -> Generator[bool, None, None]:
        yield from answer_callers(self._engine, taken)
        with self._changed:
            self._admission.turn_ended()

    def _refuse_the_rest(self) -> None:
        with self._changed:
            waiting, self._waiting = self._waiting, deque()
        for entry in waiting:
            if entry.answer.set_running_or_notify_cancel():
                entry.answer.set_exception(ModelGoneError("the model is gone"))
        self._refuse_stream(deque())

    def _refuse_stream(self, running: deque[Job]) -> None:
        while running:
            running.popleft().fail(ModelGoneError("the model is gone"))
        with self._changed:
            bulks, self._bulks = self._bulks, deque()
        for bulk in bulks:
            bulk.answers.set_exception(ModelGoneError("the model is gone"))
