"""Says loudly when an unusual share of the records cannot be processed, and holds the consumer where that is wanted."""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from threading import Lock

import structlog

from schemas import DeadLetterReason

log = structlog.get_logger()

BUCKETS = 12
BUCKET_S = 5.0
"""The window is the last minute, in steps of this: what is kept is the same at any rate of records."""
LEAST_RECORDS = 100
"""Of fewer records a share says little: two broken ones out of three are no bad deploy."""
OVER_BELOW = 0.5
"""An alarm is over below this part of the share that rings it; a share close to that must not ring again and again."""
REMIND_AFTER_S = 60.0

_REMEDY = "look at them: moderate dead-letters list; once the cause is mended: moderate dead-letters replay"


class Window:
    """Outcomes of the last minute, counted by reason (None = tagged)."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, Counter[DeadLetterReason | None]]] = deque(maxlen=BUCKETS)

    def add(self, reasons: Iterable[DeadLetterReason | None], now_s: float) -> None:
        """Count these outcomes as of now."""
        number = int(now_s // BUCKET_S)
        if not self._buckets or self._buckets[-1][0] != number:
            self._buckets.append((number, Counter()))
        self._buckets[-1][1].update(reasons)

    def counts(self, now_s: float) -> Counter[DeadLetterReason | None]:
        """How many of each outcome there were within the last minute."""
        oldest = int(now_s // BUCKET_S) - BUCKETS + 1
        counts: Counter[DeadLetterReason | None] = Counter()
        for number, bucket in self._buckets:
            if number >= oldest:
                counts.update(bucket)
        return counts

    def clear(self) -> None:
        """Forget all of them."""
        self._buckets.clear()


class DeadLetterAlarm:
    """Rings when the share of dead letters among the last minute's records (100 at least) reaches `share`.

    It is said once, and once more when the share has fallen below half of that. With `pause`, `paused` turns true too
    and stays so until `resume`; then counting starts anew, so it pauses again if nothing has changed. Thread-safe;
    nothing here blocks.
    """

    def __init__(self, share: float, pause: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = share
        self._pause = pause
        self._clock = clock
        self._lock = Lock()
        self._window = Window()
        self._rung = False
        self._paused = False
        self._remind_at_s = 0.0
        self._resume_asked = False

    @property
    def degraded(self) -> bool:
        """Whether the alarm has rung and is not over."""
        return self._rung

    @property
    def paused(self) -> bool:
        """Whether the consumer must take no more records, to be looked at; who holds it still calls `poll`."""
        return self._paused and not self._resume_asked

    @property
    def share(self) -> float:
        """The share of dead letters among the last minute's records, 0 to 1; 0 where there were none."""
        with self._lock:
            return _share(self._window.counts(self._clock()))

    def resume(self) -> None:
        """Let the consumer go on. May be called by a signal handler: it waits for no lock."""
        self._resume_asked = True

    def count(self, reasons: Iterable[DeadLetterReason | None]) -> None:
        """Count the outcomes of a batch: the reason of each dead letter, None for each tagged comment."""
        with self._lock:
            now_s = self._clock()
            self._heed_resume()
            self._window.add(reasons, now_s)
            self._look(now_s)

    def poll(self) -> bool:
        """Whether the consumer must take no more records; to be called several times a second, whatever happens.

        While paused it says once a minute how to go on; it also notices an alarm that is over because nothing comes.
        """
        with self._lock:
            now_s = self._clock()
            self._heed_resume()
            self._look(now_s)
            if self._paused and now_s >= self._remind_at_s:
                self._remind(now_s)
            return self._paused

    def _look(self, now_s: float) -> None:
        """Ring, or end the alarm, as the window says. A paused one has no end: nothing comes that could prove it."""
        counts = self._window.counts(now_s)
        share = _share(counts)
        if not self._rung and counts.total() >= LEAST_RECORDS and share >= self._threshold:
            self._ring(counts, share, now_s)
        elif self._rung and not self._paused and share < self._threshold * OVER_BELOW:
            self._rung = False
            log.info("dead_letter_share_normal", share=round(share, 3), records=counts.total())

    def _ring(self, counts: Counter[DeadLetterReason | None], share: float, now_s: float) -> None:
        self._rung = True
        self._paused = self._pause
        self._remind_at_s = now_s
        log.warning(
            "dead_letter_share_high",
            share=round(share, 3),
            records=counts.total(),
            reasons={str(reason): count for reason, count in counts.most_common() if reason is not None},
            meaning="an unusual share of the last minute's records cannot be processed: probably a producer has "
            "changed what it sends (for text-fails-model or result-too-large look at the model or the results topic)",
            remedy=_REMEDY,
        )

    def _remind(self, now_s: float) -> None:
        self._remind_at_s = now_s + REMIND_AFTER_S
        log.warning(
            "consumer_paused",
            meaning="too many dead letters, and DEAD_LETTER_PAUSE is set: no more records are taken",
            remedy=f"{_REMEDY}; to go on: kill -USR1 {os.getpid()}, or restart this process",
        )

    def _heed_resume(self) -> None:
        asked, self._resume_asked = self._resume_asked, False
        if asked and self._paused:
            self._paused = self._rung = False
            self._window.clear()
            log.info("consumer_resumed")


def _share(counts: Counter[DeadLetterReason | None]) -> float:
    total = counts.total()
    return (total - counts[None]) / total if total else 0.0
