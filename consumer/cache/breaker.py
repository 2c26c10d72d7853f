"""A circuit breaker: stops asking something that fails, and asks once in a while whether it is back."""

import time
from collections.abc import Callable
from threading import Lock

FAILURES_TO_OPEN = 3
RETRY_AFTER_S = 5.0


class Breaker:
    """Closed, it allows everything; open, one probe every `RETRY_AFTER_S`.

    It opens after `FAILURES_TO_OPEN` failures in a row, or at once by `open`; any success closes it.
    `on_change(is_open, reason)` is called once per change, never per failure. Thread-safe; nothing here blocks.
    """

    def __init__(self, on_change: Callable[[bool, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change = on_change
        self._clock = clock
        self._lock = Lock()
        self._failures_in_a_row = 0
        self._opened_at_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Also while a probe is under way."""
        return self._opened_at_s is not None

    def allows(self) -> bool:
        """Whether to try now; who is told True reports `succeeded` or `failed`."""
        with self._lock:
            if self._opened_at_s is None:
                return True
            if self._clock() < self._opened_at_s + RETRY_AFTER_S:
                return False
            # Counted from the probe on, so that a probe that never reports is followed by another.
            self._opened_at_s = self._clock()
            return True

    def succeeded(self) -> None:
        """It answered."""
        with self._lock:
            self._failures_in_a_row = 0
            changed = self._opened_at_s is not None
            self._opened_at_s = None
        if changed:
            self._on_change(False, "")

    def failed(self, reason: str) -> None:
        """It did not answer."""
        with self._lock:
            self._failures_in_a_row += 1
            enough = self._failures_in_a_row >= FAILURES_TO_OPEN
        if enough:
            self.open(reason)

    def open(self, reason: str) -> None:
        """Stop now, whatever came before."""
        with self._lock:
            changed = self._opened_at_s is None
            self._opened_at_s = self._clock()
        if changed:
            self._on_change(True, reason)
