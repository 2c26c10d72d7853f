"""Counts what went through, and says so in one log line every few seconds instead of one per comment."""

import time
from collections import Counter
from collections.abc import Iterable

import structlog

from consumer.batch import Item

log = structlog.get_logger()

REPORT_EVERY_S = 10.0


class Progress:
    """Counts since the last report; used by the publish stage's thread, and by the main thread once that has ended."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._since = time.monotonic()

    def count(self, items: Iterable[Item], *, dropped: int) -> None:
        """Count one batch: its published items, and the records left to another member."""
        batch: Counter[str] = Counter(
            "dead_letters" if item.refusal else f"answered_by_{item.answered_by}" for item in items
        )
        batch.update(batches=1, left_to_other_members=dropped)
        self._counts += batch
        log.debug("batch", **batch)

    def report(self, *, final: bool = False) -> None:
        """Log the counts when it is time and there are any."""
        elapsed_s = time.monotonic() - self._since
        if elapsed_s < REPORT_EVERY_S and not final:
            return
        if self._counts:
            tagged = sum(n for name, n in self._counts.items() if name.startswith("answered_by_"))
            log.info("progress", tagged=tagged, per_second=round(tagged / max(elapsed_s, 1e-9), 1), **self._counts)
        self._counts.clear()
        self._since = time.monotonic()
