"""What a scenario did, what it counted, and `ok` or what is missing."""

import sys
import threading
import time
from collections.abc import Iterable

MOST_PROBLEMS_SHOWN = 10


class Report:
    """Prints as it goes, so that a run can be followed; any thread may write to it."""

    def __init__(self, row_title: str, form: str) -> None:
        self.row_title = row_title
        self.title = f"{row_title} [{form}]"
        self.figures: dict[str, object] = {}
        self.problems: list[str] = []
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._print(f"== {self.title}")

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return not self.problems

    @property
    def seconds(self) -> float:
        """Since the scenario began."""
        return time.monotonic() - self._began

    def did(self, what: str) -> None:
        """Say what was just done."""
        self._print(f"{self.seconds:8.2f} s  {what}")

    def counted(self, **figures: object) -> None:
        """Say and keep what was counted."""
        self.figures |= figures
        self.did("counted " + ", ".join(f"{name} {_shown(value)}" for name, value in figures.items()))

    def missing(self, *problems: str) -> None:
        """Say and keep what does not hold."""
        self.problems += problems
        for problem in problems[:MOST_PROBLEMS_SHOWN]:
            self.did(f"MISSING: {problem}")
        if len(problems) > MOST_PROBLEMS_SHOWN:
            self.did(f"MISSING: and {len(problems) - MOST_PROBLEMS_SHOWN} more")

    def check(self, holds: object, problem: str) -> None:
        """Keep `problem` unless it holds."""
        if not holds:
            self.missing(problem)

    def close(self) -> None:
        """Print the verdict."""
        verdict = (
            "ok" if self.ok else f"MISSING: {len(self.problems)} promise(s) not kept; the first: {self.problems[0]}"
        )
        self._print(f"== {self.title}: {verdict} ({self.seconds:.0f} s)\n")

    def counts(self) -> str:
        """The figures in one line."""
        return ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.figures.items())

    def _print(self, line: str) -> None:
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def some(values: Iterable[object], most: int = 10) -> str:
    """The first few of many, for a sentence."""
    listed = list(values)
    return ", ".join(map(str, listed[:most])) + (f" and {len(listed) - most} more" if len(listed) > most else "")
