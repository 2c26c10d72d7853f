"""The demo's books: every record that went in, what came out for it, and how long it took."""

import time
from collections import Counter
from collections.abc import Sequence

SEQUENCE_HEADER = "demo-sequence"
"""Travels with each record into its tagged comment or dead letter, so that even a record without an id is accounted
for."""


class Ledger:
    """`in = tagged + dead letters`, checked record by record; owned by the demo's thread."""

    def __init__(self) -> None:
        self.sent = 0
        self.tagged = 0
        self.repeated: list[int] = []
        self.dead_letters: Counter[str] = Counter()
        self.answered_by: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.in_flight_bytes = 0
        self._outstanding: dict[int, tuple[float, int]] = {}

    def send(self, size_bytes: int) -> tuple[str, bytes]:
        """Book a record that is about to be produced; returns the header it must carry."""
        sequence = self.sent
        self.sent += 1
        self._outstanding[sequence] = (time.monotonic(), size_bytes)
        self.in_flight_bytes += size_bytes
        return (SEQUENCE_HEADER, str(sequence).encode())

    def receive(self, sequence: int) -> bool:
        """Book what came out for a record; False when its record was answered before (an event too many)."""
        booked = self._outstanding.pop(sequence, None)
        if booked is None:
            self.repeated.append(sequence)
            return False
        sent_at, size_bytes = booked
        self.in_flight_bytes -= size_bytes
        if sequence > 0:  # the first also waits for the member to join its group
            self.latencies_s.append(time.monotonic() - sent_at)
        return True

    @property
    def in_flight(self) -> int:
        """Records without an outcome yet."""
        return len(self._outstanding)

    def problems(self) -> list[str]:
        """What is wrong with the books, one sentence each; empty when everything came out exactly once."""
        problems = []
        if self._outstanding:
            problems.append(
                f"{len(self._outstanding)} of {self.sent} records came out neither tagged nor as dead "
                f"letters: {_numbers(sorted(self._outstanding))}."
            )
        if self.repeated:
            problems.append(f"{len(self.repeated)} events came out a second time: {_numbers(self.repeated)}.")
        return problems


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _numbers(sequences: Sequence[int]) -> str:
    shown = ", ".join(f"record {sequence + 1}" for sequence in sequences[:5])
    return shown + (", …" if len(sequences) > 5 else "")
