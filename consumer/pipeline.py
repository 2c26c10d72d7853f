"""The stages a batch goes through: source, prepare, classify, publish; each owns the batch while it has it."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from consumer.answer import Answer, Unanswerable
from consumer.asking import Asking
from consumer.batch import Batch, Decoded, Item, Refusal
from consumer.decode import decode
from consumer.errors import ReaderError
from consumer.health import Vital
from consumer.one_text import of_one_text
from consumer.outputs import Outputs, now_rfc3339
from consumer.parts import Alarm, Cache, Checkpoint, Engine, InFlight, Observer, Source
from consumer.stage import POLL_S, Failure, Inbox, Stage, Work
from consumer.telemetry.logs import frames_of
from consumer.telemetry.progress import Progress
from schemas import DeadLetterReason

log = structlog.get_logger()

PAUSE_AFTER_S = 1.0
"""How long the source waits for room before it pauses its partitions. Pausing throws away what was prefetched:
pausing at every full queue was measured to cost a factor of 100."""


class PipelineError(ReaderError):
    """A stage died, or work in flight was not finished in time."""


class Pipeline:
    """Joins the parts: while one batch is in the model, the next ones are decoded, looked up and handed to it, the
    previous one published.

    Queues are first in, first out, so offsets are committed in order.
    """

    def __init__(
        self,
        *,
        source: Source,
        in_flight: InFlight,
        engine: Engine,
        cache: Cache,
        outputs: Outputs,
        cache_key: Callable[[str], bytes],
        checkpoint: Checkpoint,
        alarm: Alarm,
        observers: Sequence[Observer],
        model_moved_at_s: Callable[[], float],
        shutdown_timeout_s: float,
    ) -> None:
        """`model_moved_at_s` says when the model last ran (monotonic clock): a batch of long texts takes minutes on a
        small machine, and is no standstill while pass follows pass."""
        self._source = source
        self._in_flight = in_flight
        self._engine = engine
        self._asking = Asking(engine)
        self._cache = cache
        self._outputs = outputs
        self._cache_key = cache_key
        self._checkpoint = checkpoint
        self._alarm = alarm
        self._observers = observers
        self._shutdown_timeout_s = shutdown_timeout_s
        self._progress = Progress()
        self._failure = Failure(on_report=in_flight.abandon)
        to_prepare, to_classify, to_publish = Inbox(), Inbox(), Inbox()
        self._entrance = to_prepare
        self._reading = True
        self._moved_at_s = time.monotonic()

        def stage(name: str, work: Work, inbox: Inbox, outbox: Inbox | None, **also: Callable[[], Any]) -> Stage:
            return Stage(name, work, inbox, outbox, self._failure, on_worked=partial(self._worked, name), **also)

        self._stages = [
            stage("prepare", self._prepare, to_prepare, to_classify),
            stage("classify", self._classify, to_classify, to_publish, work_moved_at_s=model_moved_at_s),
            stage(
                "publish",
                self._publish,
                to_publish,
                None,
                between=self._between_publishing,
                finish=checkpoint.finish,
            ),
        ]

    def vitals(self) -> list[Vital]:
        """Whether each thread of the pipeline lives, and since when it has stood still. From any thread."""
        source = Vital("source", self._reading, self._moved_at_s)
        return [source, *(Vital(stage.name, stage.alive, stage.moved_at_s) for stage in self._stages)]

    def run(self, stopping: Callable[[], bool]) -> None:
        """Read and process until `stopping()` is true, then finish what is in flight.

        Raises `PipelineError` when a stage died or the shutdown deadline passed; what was not committed is read again
        by the next process.
        """
        for stage in self._stages:
            stage.start()
        try:
            self._read_until(stopping)
            self._drain()
        except BaseException:
            self._in_flight.abandon()
            raise
        finally:
            self._reading = False
        self._progress.report(final=True)

    def _read_until(self, stopping: Callable[[], bool]) -> None:
        while not stopping() and not self._failure:
            self._moved_at_s = time.monotonic()
            if self._alarm.poll():
                self._source.put_back_pressure()
                continue
            self._source.release()
            batch = self._source.take(POLL_S)
            if batch is not None:
                self._hand_over(batch, stopping)

    def _hand_over(self, batch: Batch, stopping: Callable[[], bool]) -> None:
        """Wait for room; after a second of waiting pause and poll, so that a slow model never costs the membership.

        On a stop the batch is let go: uncommitted and not in flight, it is read again.
        """
        leases = list(batch.next_offsets)
        batch.queued_at_s = time.monotonic()
        for observer in self._observers:
            observer.taken(batch)
        while not self._failure and not stopping():
            self._moved_at_s = time.monotonic()
            # Counted before it is offered: once in the queue, a later stage may finish it at any moment.
            self._in_flight.took(leases)
            if self._entrance.offer(batch, POLL_S):
                return
            self._in_flight.finished(leases)
            if time.monotonic() - batch.queued_at_s > PAUSE_AFTER_S:
                self._source.put_back_pressure()
            else:
                self._source.serve_offsets()
        for observer in self._observers:
            observer.out(batch, [])

    def _drain(self) -> None:
        deadline = time.monotonic() + self._shutdown_timeout_s
        told = finished = False
        while not self._failure and time.monotonic() < deadline:
            self._moved_at_s = time.monotonic()
            told = told or self._entrance.offer(None, timeout_s=0)
            finished = told and all(stage.join(0) for stage in self._stages)
            # A rebalance under way refuses commits until it is over, which needs polls: a member that left before would
            # leave finished work uncommitted.
            if finished and self._source.serve_offsets():
                return
            self._source.put_back_pressure()
        if self._failure:
            raise self._stage_error(self._failure.error)
        if finished:
            return
        raise PipelineError(
            f"work in flight was not finished within SHUTDOWN_TIMEOUT_S={self._shutdown_timeout_s:g}; it "
            "is uncommitted and will be read again."
        )

    def _stage_error(self, error: BaseException | None) -> PipelineError:
        """Only messages of our own are passed on; another library's may quote a comment."""
        if isinstance(error, ReaderError):
            return PipelineError(f"stage {self._failure.stage} failed: {error}")
        if error is not None:
            log.error("stage_failed", stage=self._failure.stage, error=type(error).__name__, frames=frames_of(error))
        return PipelineError(
            f"stage {self._failure.stage} failed with {type(error).__name__}; its log line has the frames"
        )

    def _prepare(self, batch: Batch) -> None:
        """Decode, clean, answer what has been seen before, and ask the model for the rest."""
        for item in batch.waiting():
            self._read(item)
        waiting = batch.waiting()
        found = self._cache.lookup([item.cache_key for item in waiting])
        for item in waiting:
            if item.cache_key in found:
                item.answer, item.answered_by = found[item.cache_key]
        self._asking.ask([item for item in batch.waiting() if item.lease.valid])

    def _read(self, item: Item) -> None:
        """Decode and clean one comment; whatever that does ends in its own dead letter."""
        decoded = of_one_text(decode, item.record.value, named="reading")
        if isinstance(decoded, Decoded):
            item.comment = decoded
            ready = of_one_text(self._model_text_and_key, decoded.text, named="cleaning")
            if not isinstance(ready, Unanswerable):
                item.model_text, item.cache_key = ready
                return
            decoded = ready
        item.refusal = decoded if isinstance(decoded, Refusal) else _fails_on(decoded)

    def _model_text_and_key(self, text: str) -> tuple[str, bytes]:
        model_text = self._engine.model_text(text)
        return model_text, self._cache_key(model_text)

    def _classify(self, batch: Batch) -> None:
        """Wait for the model's answers, and remember them."""
        new: dict[bytes, Answer] = {}
        for item in batch.items:
            if item.asked is None:
                continue
            answer = item.asked.answers.result()[item.asked.position]
            if isinstance(answer, Unanswerable):
                item.refusal = _fails_on(answer)
            else:
                item.answer = answer
                if item.answered_by == "model":
                    new[item.cache_key] = answer
        self._cache.store(new)

    def _publish(self, batch: Batch) -> None:
        """Publish and checkpoint what this member still holds; the rest belongs to another member now."""
        held = [item for item in batch.items if item.lease.valid]
        processed_at = now_rfc3339()
        self._checkpoint.complete([self._outputs.message(item, processed_at) for item in held], batch.next_offsets)
        self._progress.count(held, dropped=len(batch.items) - len(held))
        self._alarm.count([item.refusal.reason if item.refusal else None for item in held])
        for observer in self._observers:
            observer.out(batch, held)

    def _worked(self, stage: str, waited_s: float, took_s: float) -> None:
        for observer in self._observers:
            observer.worked(stage, waited_s, took_s)

    def _between_publishing(self) -> float:
        self._progress.report()
        return self._checkpoint.serve()


def _fails_on(text: Unanswerable) -> Refusal:
    return Refusal(DeadLetterReason.TEXT_FAILS_MODEL, text.detail)
