"""SIGTERM and SIGINT: the first asks for a clean end, the second ends at once."""

import os
import signal
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
