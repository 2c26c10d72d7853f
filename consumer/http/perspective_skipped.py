"""Says in the log which attributes were left out of answers, so that an operator sees what clients ask for in vain."""

import time
from collections.abc import Callable, Sequence

import structlog

from consumer.http.perspective_errors import MOST_NAMES, shown

log = structlog.get_logger()

SAY_AGAIN_AFTER_S = 60.0


def skip_log(now_s: Callable[[], float] = time.monotonic) -> Callable[[Sequence[str]], None]:
    """What to tell of each answer's attributes that were left out: it logs them, once a minute at most. Of one thread.

    Callers make the names up, so it keeps only a few.
    """
    names: set[str] = set()
    requests = 0
    say_again_at_s = 0.0

    def skipped(left_out: Sequence[str]) -> None:
        nonlocal requests, say_again_at_s
        if not left_out:
            return
        requests += 1
        names.update(sorted(map(shown, left_out))[: MOST_NAMES - len(names)])
        if now_s() >= say_again_at_s:
            log.warning(
                "perspective_attributes_skipped",
                attributes=" ".join(sorted(names)),
                requests=requests,
                meaning="the model has no label for these; PERSPECTIVE_ATTRIBUTES maps attributes to its labels",
            )
            names.clear()
            requests, say_again_at_s = 0, now_s() + SAY_AGAIN_AFTER_S

    return skipped
