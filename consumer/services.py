"""What stands beside the stream for those outside: metrics, traces, health, and the synchronous way in."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass

from consumer.answer import ModelPass
from consumer.cache import AnswerCache
from consumer.errors import ReaderError
from consumer.health import Health
from consumer.jobs import ModelGoneError
from consumer.loading import LoadedModel, full_names
from consumer.micro_batcher import MicroBatcher
from consumer.parts import Observer
from consumer.predictor import Predictor
from consumer.settings import Settings
from consumer.telemetry.metrics import Metrics
from consumer.telemetry.tracing import open_tracing
from consumer.verdict import Judge
from schemas import Feedback

NOBODY_WAITS_S = 1.0
"""For the model to end in, where no HTTP caller is owed an answer."""


class ServerGoneError(ReaderError):
    """The HTTP server's thread ended although nobody asked it to."""


@dataclass(eq=False)
class Services:
    """Written by the thread that puts the parts together, read by HTTP's; `predictor` is there once the model is, and
    before it, where there is Kafka, `publish_feedback`: its future is done when Kafka has the correction, or raises
    `NotTakenError`."""

    metrics: Metrics
    health: Health
    observers: list[Observer]
    has_server: bool
    predictor: Predictor | None = None
    publish_feedback: Callable[[Feedback], Future[None]] | None = None
    batcher: MicroBatcher | None = None
    server_alive: Callable[[], bool] = lambda: True
    stop_server: Callable[[], None] = lambda: None
    model_moved_at_s: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the model broke, or the HTTP server ended, so that the process must end."""
        return not self.server_alive() or (self.batcher is not None and self.batcher.error is not None)

    def model_pass(self, done: ModelPass) -> None:
        """The model has run once. Called on the thread that classifies."""
        self.model_moved_at_s = time.monotonic()
        self.metrics.model_pass(done)

    def require_server(self) -> None:
        """Raise `ServerGoneError` when the server ended by itself."""
        if not self.server_alive():
            raise ServerGoneError("the HTTP server ended by itself; the log line http_failed says where")

    def require_model(self) -> None:
        """Raise `ModelGoneError` when the model broke, also for the last callers of a process that ends."""
        if self.batcher is not None and (error := self.batcher.error) is not None:
            # Only messages of our own are passed on; another library's may quote a text.
            why = str(error) if isinstance(error, ReaderError) else "its log line has the frames"
            raise ModelGoneError(f"the model failed with {type(error).__name__}: {why}")


def open_services(
    settings: Settings, stopping: Callable[[], bool], stack: ExitStack, *, has_server: bool = False
) -> Services:
    """Metrics, health, and traces where they are wanted; `stack` lets go of them.

    Raises `SettingsError` when traces are wanted and their libraries are missing.
    """
    metrics = Metrics()
    observers: list[Observer] = [metrics]
    if settings.tracing:
        observers.append(open_tracing(settings, stack))
    return Services(metrics, Health(settings.health_stall_timeout_s, stopping), observers, has_server)


def share_model(
    settings: Settings,
    services: Services,
    engine: LoadedModel,
    cache: AnswerCache,
    cache_key: Callable[[str], bytes],
    judge: Judge,
    stack: ExitStack,
) -> MicroBatcher:
    """Let `engine` be used from now on: by HTTP callers, and by the stream through what is returned."""
    batcher = MicroBatcher(engine, settings.http_max_waiting_texts)
    stack.callback(batcher.close, timeout_s=settings.shutdown_timeout_s if services.has_server else NOBODY_WAITS_S)
    stack.callback(services.stop_server)  # before the batcher is closed: requests that came are still answered
    labels = full_names(engine.tag_groups.label_names())
    services.batcher = batcher
    predictor = Predictor(batcher, cache, cache_key, judge, labels, engine.languages)
    stack.callback(predictor.close)
    services.predictor = predictor
    services.metrics.watch_queue(lambda: batcher.waiting_texts)
    services.health.watch(batcher.vitals)
    return batcher
