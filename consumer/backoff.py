"""Waiting between attempts at something that may soon work again, and knowing when to give up."""

import random
import time
from collections.abc import Callable


class Backoff:
    """How long to wait after each failure in a row: at random up to `first_s`, doubled each time up to `cap_s`.

    Full jitter, because members that fail together must not all come back together. After `give_up_after_s` from the
    first failure on, there is nothing more to wait for. Waits nowhere itself; used by one thread.
    """

    def __init__(
        self,
        first_s: float,
        cap_s: float,
        give_up_after_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._jitter = jitter
        self._give_up_at_s: float | None = None
        self._next_most_s = first_s

    def delay_s(self) -> float | None:
        """Seconds to wait before the next attempt, to be called once per failure; None = give up.

        The last wait is cut to end at the limit, so one attempt is made there.
        """
        now_s = self._clock()
        if self._give_up_at_s is None:
            self._give_up_at_s = now_s + self._give_up_after_s
        if now_s >= self._give_up_at_s:
            return None
        most_s = min(self._next_most_s, self._cap_s)
        self._next_most_s = most_s * 2
        return min(most_s * self._jitter(), self._give_up_at_s - now_s)

    def reset(self) -> None:
        """It worked: the next failure is a first one."""
        self._give_up_at_s = None
        self._next_most_s = self._first_s
