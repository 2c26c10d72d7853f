"""Whether this process lives and may be given work: what `/healthz` and `/readyz` say, gathered from its parts."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

Check = Callable[[], str]
"""Says what is wrong, in words for a person; empty when nothing is. Thread-safe, and never blocks."""


class Vital(NamedTuple):
    """One thread: whether it lives, and when it moved last (monotonic clock)."""

    name: str
    alive: bool
    moved_at_s: float


class Report(NamedTuple):
    """`problems` by part; `warnings` are what a person should know although the process does its work."""

    ok: bool
    problems: dict[str, str]
    warnings: dict[str, str]


class Health:
    """Written by the thread that puts the parts together, read by HTTP's.

    Until `begin` it is starting: alive, and not ready. Once `stopping()` it is alive, whatever has ended, and not
    ready.
    """

    def __init__(
        self, stall_timeout_s: float, stopping: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._stopping = stopping
        self._clock = clock
        self._begun = False
        self._vitals: list[Callable[[], Iterable[Vital]]] = []
        self._conditions: dict[str, Check] = {}
        self._warnings: dict[str, Check] = {}

    def watch(self, vitals: Callable[[], Iterable[Vital]]) -> None:
        """Fail `live` when one of these threads is dead, or has stood still for longer than `stall_timeout_s`."""
        self._vitals.append(vitals)

    def require(self, name: str, check: Check) -> None:
        """Fail `readiness` while `check` says something."""
        self._conditions[name] = check

    def warn(self, name: str, check: Check) -> None:
        """Show what `check` says, and fail nothing."""
        self._warnings[name] = check

    def begin(self) -> None:
        """The model is loaded and warm, and everything to be watched is known."""
        self._begun = True

    def live(self) -> Report:
        """Is every part alive and moving? When not, only a restart helps."""
        problems = {}
        if self._begun and not self._stopping():
            for vital in [vital for vitals in self._vitals for vital in vitals()]:
                still_for_s = self._clock() - vital.moved_at_s
                if not vital.alive:
                    problems[vital.name] = "dead"
                elif still_for_s > self._stall_timeout_s:
                    problems[vital.name] = f"has stood still for {still_for_s:.0f} s"
        return Report(not problems, problems, _said_by(self._warnings))

    def readiness(self) -> Report:
        """May this process be given work?"""
        if self._stopping():
            return Report(False, {"process": "is being stopped"}, {})
        if not self._begun:
            return Report(False, {"process": "is starting: the model is being loaded"}, {})
        problems = self.live().problems | _said_by(self._conditions)
        return Report(not problems, problems, _said_by(self._warnings))


def _said_by(checks: dict[str, Check]) -> dict[str, str]:
    return {name: said for name, check in list(checks.items()) if (said := check())}
