"""Publishes corrections of HTTP callers to the feedback topic, and tells each caller when Kafka has theirs."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from queue import Empty, Full, Queue
from threading import Thread
from typing import NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.errors import NotTakenError, ReaderError
from consumer.kafka.clients import make_producer, producer_config
from consumer.kafka.publisher import produce
from consumer.kafka.refusals import describe
from consumer.settings import Settings
from consumer.telemetry.logs import frames_of
from schemas import Feedback

log = structlog.get_logger()

MOST_WAITING = 256
"""Corrections that wait for the producer: at most 30 MB of them, where every character is escaped."""
ACKNOWLEDGED_WITHIN_S = 5.0
"""Kafka needs milliseconds; a broker that is being replaced needs a few seconds, and a caller waits meanwhile."""
SERVE_EVERY_S = 1.0
"""A client's log lines wait for somebody to serve them."""
SAY_AGAIN_AFTER_S = 60.0


class _Waiting(NamedTuple):
    """A correction, and what its caller waits for."""

    key: bytes
    value: bytes
    published: "Future[None]"


def open_corrections(settings: Settings, stack: ExitStack) -> Callable[[Feedback], "Future[None]"]:
    """What publishes a correction, from any thread, until `stack` is closed; it returns at once.

    The future is done when every in-sync replica has the correction. Within some 11 s, the first time,
    or 6 s it raises `NotTakenError` where Kafka does not take it, which ends nothing but this correction.
    """
    corrections = _Corrections(settings)
    stack.callback(corrections.close)
    return corrections.publish


class _Corrections:
    """An idempotent producer with a thread of its own, so that no caller who waits for Kafka holds a thread that others
    need. It is made when the first correction comes: a member that gets none opens no connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: Queue[_Waiting | None] = Queue(MOST_WAITING)
        self._producer: Producer | None = None
        self._failures = 0
        self._say_again_at_s = 0.0
        self._thread = Thread(target=self._work, name="corrections", daemon=True)
        self._thread.start()

    def publish(self, feedback: Feedback) -> "Future[None]":
        value = feedback.model_dump_json(exclude_none=True).encode()
        waiting = _Waiting(feedback.comment_id.encode(), value, Future())
        try:
            self._waiting.put_nowait(waiting)
        except Full:
            waiting.published.set_exception(
                NotTakenError("Too many corrections wait for Kafka already; try again later.")
            )
        return waiting.published

    def close(self) -> None:
        """Publish what waits still, and end."""
        with suppress(Full):  # then the thread has ended by itself, or hangs
            self._waiting.put(None, timeout=ACKNOWLEDGED_WITHIN_S)
        self._thread.join(2 * ACKNOWLEDGED_WITHIN_S)

    def _work(self) -> None:
        going_on = True
        while going_on:
            taken = self._take()
            going_on = None not in taken
            batch = [each for each in taken if each is not None and each.published.set_running_or_notify_cancel()]
            if batch:
                self._try_to_publish(batch)
        self._producer = None  # while the interpreter still lives

    def _try_to_publish(self, batch: Sequence[_Waiting]) -> None:
        """Publish the batch; whatever comes of that, each of it has an outcome then, and the thread lives."""
        try:
            self._publish(batch)
            return
        except KafkaException as error:
            self._fail(batch, self._refusal(describe(error)))
        except ReaderError as error:
            self._fail(batch, str(error))
        except Exception as error:  # its message is not ours: it may hold a secret
            self._fail(batch, f"Correcting failed with {type(error).__name__}.", frames=frames_of(error))
        self._producer = None

    def _take(self) -> list[_Waiting | None]:
        """All that wait, once one does."""
        while True:
            try:
                taken = [self._waiting.get(timeout=SERVE_EVERY_S if self._producer else None)]
                break
            except Empty:
                if self._producer:
                    self._producer.poll(0)
        while len(taken) < MOST_WAITING:
            try:
                taken.append(self._waiting.get_nowait())
            except Empty:
                break
        return taken

    def _publish(self, batch: Sequence[_Waiting]) -> None:
        """Hand the batch to Kafka, and wait until each of it is acknowledged or refused."""
        self._producer = self._producer or self._made_producer()
        for waiting in batch:

            def on_delivery(error: KafkaError | None, _message: Message, waiting: _Waiting = waiting) -> None:
                if error is not None:
                    self._fail([waiting], self._refusal(describe(error)))
                elif not waiting.published.done():
                    waiting.published.set_result(None)

            topic = self._settings.feedback_topic
            produce(self._producer, topic, key=waiting.key, value=waiting.value, on_delivery=on_delivery)
        self._producer.flush(ACKNOWLEDGED_WITHIN_S + 1.0)
        self._fail(batch, self._refusal("it was not acknowledged"))
        if any(waiting.published.exception() for waiting in batch):
            self._producer = None  # it may be broken for good, so the next correction begins anew

    def _made_producer(self) -> Producer:
        limit = {"delivery.timeout.ms": int(ACKNOWLEDGED_WITHIN_S * 1000)}
        producer = make_producer(producer_config(self._settings) | limit)
        # Asked for by its name, a topic that is missing would be made by many brokers, and nobody would read it.
        if self._settings.feedback_topic not in producer.list_topics(timeout=ACKNOWLEDGED_WITHIN_S).topics:
            raise NotTakenError(self._refusal("there is none, or this user may not see it"))
        return producer

    def _refusal(self, why: str) -> str:
        return (
            f"Kafka did not take the correction for topic {self._settings.feedback_topic}: {why}. Check that the topic "
            "exists and that this member's user may write to it (FEEDBACK_TOPIC), and send it again."
        )

    def _fail(self, batch: Sequence[_Waiting], why: str, **more: str) -> None:
        """Tell those of the batch that have no outcome yet, and the log, once a minute."""
        unsettled = [waiting for waiting in batch if not waiting.published.done()]
        for waiting in unsettled:
            waiting.published.set_exception(NotTakenError(why))
        self._failures += len(unsettled)
        if unsettled and time.monotonic() >= self._say_again_at_s:
            log.warning("corrections_not_published", corrections=self._failures, error=why, **more)
            self._failures, self._say_again_at_s = 0, time.monotonic() + SAY_AGAIN_AFTER_S
