"""Counts what went through, and says so in one log line now and then instead of one per comment."""

import math
import time
from collections import Counter
from collections.abc import Sequence

import structlog

from consumer.batch import Item

log = structlog.get_logger()

REPORT_EVERY_S = 10.0
MISFITS_EVERY_S = 60.0


class Progress:
    """Counts since the last report; used by the publish stage's thread, and by the main thread once that has ended."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._misfits: Counter[str] = Counter()
        self._misfits_told_at_s = -math.inf
        self._since = time.monotonic()

    def count(self, items: Sequence[Item], *, dropped: int) -> None:
        """Count one batch: its published items, and the records left to another member."""
        batch: Counter[str] = Counter(
            "dead_letters" if item.refusal else f"answered_by_{item.answered_by}" for item in items
        )
        batch.update(batches=1, left_to_other_members=dropped)
        self._counts += batch
        self._misfits.update(name for item in items if item.comment for name in item.comment.misfits)
        log.debug("batch", **batch)

    def report(self, *, final: bool = False) -> None:
        """Log the counts when it is time and there are any."""
        self._report_misfits()
        elapsed_s = time.monotonic() - self._since
        if elapsed_s < REPORT_EVERY_S and not final:
            return
        if self._counts:
            tagged = sum(n for name, n in self._counts.items() if name.startswith("answered_by_"))
            log.info("progress", tagged=tagged, per_second=round(tagged / max(elapsed_s, 1e-9), 1), **self._counts)
        self._counts.clear()
        self._since = time.monotonic()

    def _report_misfits(self) -> None:
        """Say once a minute which fields do not fit: the first time at once, so that a producer's tests meet it."""
        if self._misfits and time.monotonic() - self._misfits_told_at_s >= MISFITS_EVERY_S:
            log.warning(
                "fields_do_not_fit",
                fields=dict(self._misfits),
                meaning="these comments were tagged; the fields travel on as they came, see the input contract",
            )
            self._misfits.clear()
            self._misfits_told_at_s = time.monotonic()
