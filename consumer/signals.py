"""Signals: SIGTERM and SIGINT ask for a clean end, a second one for the end at once; SIGUSR1 ends a pause."""

import os
import signal
from collections.abc import Callable
from types import FrameType


class StopOnSignal:
    """`stopping()` turns true with the first signal. A second one ends the process: what is uncommitted is read
    again."""

    def __init__(self) -> None:
        self._signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def stopping(self) -> bool:
        """Whether a signal has come."""
        return self._signal != 0

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signal:
            os._exit(128 + number)
        self._signal = number


def resume_on_signal(resume: Callable[[], None]) -> None:
    """Call `resume` at every SIGUSR1 from now on; by default that signal ends a process. For the main thread only.

    `resume` interrupts the main thread anywhere, so it must not wait for a lock.
    """
    signal.signal(signal.SIGUSR1, lambda _number, _frame: resume())
