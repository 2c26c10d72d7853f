"""Threads joined by small bounded queues; a failure in one ends all, and nothing waits for ever."""

import queue
import threading
import time
from collections.abc import Callable

from consumer.batch import Batch

POLL_S = 0.1
"""How often a waiting stage looks whether another has failed."""

Work = Callable[[Batch], None]


class Failure:
    """The first failure of any stage; the pipeline's one owner of it."""

    def __init__(self, on_report: Callable[[], None]) -> None:
        self._on_report = on_report
        self._set = threading.Event()
        self.stage = ""
        self.error: BaseException | None = None

    def report(self, stage: str, error: BaseException) -> None:
        """Keep the first failure; later ones are its consequences."""
        if self.error is None:
            self.stage, self.error = stage, error
        self._set.set()
        self._on_report()

    def __bool__(self) -> bool:
        return self._set.is_set()


class Inbox:
    """A bounded queue of batches in front of a stage; None in it means that no more will come."""

    def __init__(self, size: int = 1) -> None:
        self._queue: queue.Queue[Batch | None] = queue.Queue(size)

    def offer(self, batch: Batch | None, timeout_s: float) -> bool:
        """Put a batch in, waiting up to `timeout_s` for room; says whether there was room."""
        try:
            self._queue.put(batch, timeout=timeout_s)
        except queue.Full:
            return False
        return True

    def take(self, timeout_s: float) -> Batch | None:
        """The next batch, or None when no more will come. Raises `queue.Empty` when nothing came in time."""
        return self._queue.get(timeout=timeout_s)


class Stage:
    """One thread that does `work` on each batch from `inbox`, in order, and passes it on to `outbox`.

    `work` raising ends the stage and reports the failure; a failure elsewhere ends it too.
    `on_worked` is told for how many seconds each batch had waited, and for how many it was worked on.
    `work_moved_at_s` says when work that takes long moved last. `between` is called before each wait for a batch, and
    says after how many seconds at most it wants to be called again; `finish` is called once, when no more batches will
    come.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        inbox: Inbox,
        outbox: Inbox | None,
        failure: Failure,
        between: Callable[[], float] = lambda: POLL_S,
        finish: Callable[[], None] = lambda: None,
        on_worked: Callable[[float, float], None] = lambda _waited_s, _took_s: None,
        work_moved_at_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.name = name
        self._moved_at_s = time.monotonic()
        self._work = work
        self._inbox = inbox
        self._outbox = outbox
        self._failure = failure
        self._between = between
        self._finish = finish
        self._on_worked = on_worked
        self._work_moved_at_s = work_moved_at_s
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def moved_at_s(self) -> float:
        """When it moved last, or its work did (monotonic clock)."""
        return max(self._moved_at_s, self._work_moved_at_s())

    @property
    def alive(self) -> bool:
        """Whether the thread runs, or is still to be started."""
        return self._thread.ident is None or self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._moved_at_s = time.monotonic()
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for the stage to end; says whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._failure:
                self._moved_at_s = time.monotonic()
                try:
                    batch = self._inbox.take(self._between())
                except queue.Empty:
                    continue
                if batch is None:
                    self._finish()
                else:
                    self._work_on(batch)
                self._pass_on(batch)
                if batch is None:
                    return
        except BaseException as error:
            self._failure.report(self.name, error)

    def _work_on(self, batch: Batch) -> None:
        began_s = time.monotonic()
        waited_s = began_s - batch.queued_at_s
        self._work(batch)
        self._on_worked(waited_s, time.monotonic() - began_s)

    def _pass_on(self, batch: Batch | None) -> None:
        if batch is not None:
            batch.queued_at_s = time.monotonic()
        while self._outbox is not None and not self._failure:
            self._moved_at_s = time.monotonic()
            if self._outbox.offer(batch, POLL_S):
                return
