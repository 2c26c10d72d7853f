"""The cache that members share, at arm's length: whatever happens to it, a batch waits no longer than its timeout."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import count
from queue import Full, PriorityQueue
from threading import Thread
from typing import Literal, Protocol

import structlog
from redis.exceptions import ResponseError

from consumer.cache.breaker import RETRY_AFTER_S, Breaker
from consumer.cache.keys import KEY_PREFIX

log = structlog.get_logger()

MAX_WAITING_WRITES = 8
MAX_WAITING = 64
CLOSE_WAIT_S = 1.0

READ, WRITE, STOP = range(3)
"""Priorities: a batch waits for a read and nobody for a write; stopping lets pending writes go first."""

SharedState = Literal["closed", "open", "writes-open"]

REMEDIES = {
    "AuthenticationError": "check the user and the password in REDIS_URL",
    "NoPermissionError": "allow this user MGET and SET on the keys moderate:*",
    "OutOfMemoryError": "raise Redis' maxmemory, or set its maxmemory-policy to allkeys-lru",
    "ReadOnlyError": "this is a replica: name the primary in REDIS_URL",
    "ConnectionError": "check that Redis runs, that REDIS_URL names it, and the certificate of a rediss:// one",
    "OversizedReplyError": "somebody else writes under the keys moderate:*: let only the members, by password and ACL",
    "TimeoutError": "Redis is too slow or hangs; CACHE_TIMEOUT_MS is how long a batch waits for it",
}


class Store(Protocol):
    """Where values are kept; used by one thread. Its methods may block and raise anything."""

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those `keys` that have one."""
        ...

    def write(self, values: Mapping[bytes, bytes]) -> None:
        """Keep `values`."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SharedCache:
    """Reads wait at most `timeout_s`, writes never; errors are misses, and logged once per change of state.

    One thread owns the store, because not everything has a timeout of its own (DNS has none). Two circuits: what keeps
    reads from being answered stops everything; writes that are refused (Redis full, a replica) stop writes only.
    """

    def __init__(self, store: Store, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._all = Breaker(partial(_report, "reads and writes"), clock)
        self._writes = Breaker(partial(_report, "writes"), clock)
        self._order = count()
        self._requests: PriorityQueue[tuple[int, int, Callable[[], None] | None]] = PriorityQueue(MAX_WAITING)
        self._owner = Thread(target=self._run, name="cache", daemon=True)
        self._owner.start()

    @property
    def state(self) -> SharedState:
        """`closed` is well, `open` is without Redis, `writes-open` still reads."""
        if self._all.is_open:
            return "open"
        return "writes-open" if self._writes.is_open else "closed"

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those `keys` that are found within `timeout_s`; never raises."""
        if not keys or not self._all.allows():
            return {}
        answer: Future[dict[bytes, bytes]] = Future()
        try:
            self._requests.put_nowait((READ, next(self._order), partial(self._read, keys, answer)))
            values = answer.result(self._timeout_s)
        except Exception as error:
            answer.cancel()  # not asked any more when the owner has not begun; thrown away when it comes late
            self._all.failed(_reason(error))
            return {}
        self._all.succeeded()
        return values

    def put_many(self, values: Mapping[bytes, bytes]) -> None:
        """Keep `values` if that goes well; returns at once, never raises."""
        if not values or self._all.is_open or self._requests.qsize() >= MAX_WAITING_WRITES:
            return
        with suppress(Full):
            self._requests.put_nowait((WRITE, next(self._order), partial(self._write, values)))

    def close(self) -> None:
        """Let pending writes finish, for at most about `CLOSE_WAIT_S`."""
        deadline_s = time.monotonic() + CLOSE_WAIT_S
        with suppress(Full):
            self._requests.put((STOP, next(self._order), None), timeout=CLOSE_WAIT_S)
        self._owner.join(max(0.0, deadline_s - time.monotonic()))

    def _run(self) -> None:
        self._first_contact()
        while (request := self._requests.get()[2]) is not None:
            request()
        with suppress(Exception):
            self._store.close()

    def _first_contact(self) -> None:
        """Tell of a wrong password at start, not when comments come; needs no permission that reads do not."""
        try:
            self._store.read([KEY_PREFIX + b"first-contact"])
        except Exception as error:
            self._all.open(_reason(error))

    def _read(self, keys: Sequence[bytes], answer: "Future[dict[bytes, bytes]]") -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(self._store.read(keys))
        except Exception as error:
            answer.set_exception(error)

    def _write(self, values: Mapping[bytes, bytes]) -> None:
        if self._all.is_open or not self._writes.allows():
            return
        try:
            self._store.write(values)
        except ResponseError as error:
            self._writes.failed(_reason(error))
        except Exception as error:
            self._all.failed(_reason(error))
        else:
            self._writes.succeeded()


def _reason(error: Exception) -> str:
    # The class alone: messages name hosts, users and keys. A full queue is a store that hangs.
    return "TimeoutError" if isinstance(error, Full) else type(error).__name__


def _report(affected: str, is_open: bool, reason: str) -> None:
    if is_open:
        remedy = REMEDIES.get(reason, "see Redis' own log")
        log.warning("cache_open", affected=affected, reason=reason, remedy=remedy, retry_after_s=RETRY_AFTER_S)
    else:
        log.info("cache_closed", affected=affected)
