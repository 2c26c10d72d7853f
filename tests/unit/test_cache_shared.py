import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event, Thread
from typing import Any

import pytest
import redis
from redis.exceptions import OutOfMemoryError
from structlog.testing import capture_logs

from consumer.cache.breaker import FAILURES_TO_OPEN, RETRY_AFTER_S
from consumer.cache.client import RedisStore
from consumer.cache.shared import MAX_WAITING_WRITES, SharedCache
from consumer.errors import ReaderError
from tests.waiting import wait_until

TIMEOUT_S = 0.2
PATIENT_S = 30.0


class FakeStore:
    """A store in a dict that can hang or fail, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.asked: list[tuple[str, list[bytes]]] = []
        self.answering = Event()
        self.answering.set()
        self.closed = Event()
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._ask("read", keys, self.read_error)
        return {key: self.values[key] for key in keys if key in self.values}

    def write(self, values: Mapping[bytes, bytes]) -> None:
        self._ask("write", values, self.write_error)
        self.values.update(values)

    def close(self) -> None:
        self.closed.set()

    def _ask(self, what: str, keys: Sequence[bytes] | Mapping[bytes, bytes], error: Exception | None) -> None:
        self.asked.append((what, list(keys)))
        self.answering.wait()
        if error is not None:
            raise error


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store() -> Iterator[FakeStore]:
    store = FakeStore()
    yield store
    store.answering.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def started(store: FakeStore, clock: Clock) -> Iterator[Callable[[float], SharedCache]]:
    """Starts caches, and waits until each has made its first contact."""
    caches = []

    def start(timeout_s: float) -> SharedCache:
        caches.append(SharedCache(store, timeout_s, clock))
        wait_until(lambda: len(store.asked) > 0)
        return caches[-1]

    yield start
    store.answering.set()
    for cache in caches:
        cache.close()


Start = Callable[[float], SharedCache]


def test_what_was_put_is_got(started: Start, store: FakeStore) -> None:
    cache = started(PATIENT_S)
    cache.put_many({b"a": b"1", b"b": b"2"})
    wait_until(lambda: len(store.values) == 2)
    assert cache.get_many([b"a", b"c"]) == {b"a": b"1"}
    assert cache.state == "closed"


def test_a_store_that_hangs_costs_a_read_its_timeout_and_then_nothing(
    started: Start, store: FakeStore, logs: list[Any]
) -> None:
    cache = started(TIMEOUT_S)
    store.values[b"a"] = b"1"
    store.answering.clear()
    for _ in range(FAILURES_TO_OPEN):
        begun_s = time.monotonic()
        assert cache.get_many([b"a"]) == {}
        assert TIMEOUT_S * 0.9 < time.monotonic() - begun_s < TIMEOUT_S + 2
    begun_s = time.monotonic()
    for _ in range(1000):
        assert cache.get_many([b"a"]) == {}
        cache.put_many({b"a": b"2"})
    assert time.monotonic() - begun_s < 2
    assert cache.state == "open"
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("cache_open", "TimeoutError")]


def test_a_late_answer_is_thrown_away_and_what_nobody_waits_for_is_not_asked(started: Start, store: FakeStore) -> None:
    cache = started(TIMEOUT_S)
    store.values.update({b"late": b"1", b"abandoned": b"2", b"now": b"3"})
    store.answering.clear()
    assert cache.get_many([b"late"]) == {}
    assert cache.get_many([b"abandoned"]) == {}
    store.answering.set()
    wait_until(lambda: cache.get_many([b"now"]) == {b"now": b"3"})
    assert ("read", [b"late"]) in store.asked
    assert ("read", [b"abandoned"]) not in store.asked


def test_a_probe_closes_the_circuit_and_both_changes_are_logged_once(
    started: Start, store: FakeStore, clock: Clock, logs: list[Any]
) -> None:
    cache = started(PATIENT_S)
    store.read_error = redis.ConnectionError("Error 111 connecting to user:password@host")
    for _ in range(10):
        assert cache.get_many([b"a"]) == {}
    clock.now_s += RETRY_AFTER_S
    assert cache.get_many([b"a"]) == {}
    store.read_error = None
    store.values[b"a"] = b"1"
    assert cache.get_many([b"a"]) == {}
    clock.now_s += RETRY_AFTER_S
    assert cache.get_many([b"a"]) == {b"a": b"1"}
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("cache_open", "warning"),
        ("cache_closed", "info"),
    ]
    assert "password@" not in str(logs)


def test_refused_writes_stop_writes_only_until_a_probe(
    started: Start, store: FakeStore, clock: Clock, logs: list[Any]
) -> None:
    cache = started(PATIENT_S)
    store.values[b"a"] = b"1"
    store.write_error = OutOfMemoryError("command not allowed when used memory > 'maxmemory'")

    def open_after_another_write() -> bool:
        cache.put_many({b"b": b"2"})
        assert cache.get_many([b"a"]) == {b"a": b"1"}
        return cache.state == "writes-open"

    wait_until(open_after_another_write)
    store.write_error = None
    clock.now_s += RETRY_AFTER_S
    cache.put_many({b"b": b"2"})
    wait_until(lambda: cache.state == "closed")
    assert cache.get_many([b"b"]) == {b"b": b"2"}
    assert [(entry["event"], entry["affected"]) for entry in logs] == [
        ("cache_open", "writes"),
        ("cache_closed", "writes"),
    ]
    assert logs[0]["reason"] == "OutOfMemoryError"
    assert "maxmemory-policy" in logs[0]["remedy"]


def test_writes_that_cannot_connect_open_the_whole_circuit(started: Start, store: FakeStore) -> None:
    cache = started(PATIENT_S)
    store.write_error = redis.ConnectionError()

    def open_after_another_write() -> bool:
        cache.put_many({b"a": b"1"})
        return cache.state == "open"

    wait_until(open_after_another_write)


def test_a_store_that_fails_at_start_is_told_before_comments_come(
    started: Start, store: FakeStore, logs: list[Any]
) -> None:
    store.read_error = redis.AuthenticationError("WRONGPASS")
    cache = started(PATIENT_S)
    wait_until(lambda: cache.state == "open")
    assert cache.get_many([b"a"]) == {}
    assert [(entry["reason"], entry["remedy"]) for entry in logs] == [
        ("AuthenticationError", "check the user and the password in REDIS_URL")
    ]


def test_a_failure_nobody_thought_of_is_a_miss(started: Start, store: FakeStore) -> None:
    cache = started(PATIENT_S)
    store.read_error = UnicodeError("label too long")
    assert cache.get_many([b"a"]) == {}
    store.read_error = None
    store.values[b"a"] = b"1"
    assert cache.get_many([b"a"]) == {b"a": b"1"}


def hung_in_a_write_with_more_waiting(cache: SharedCache, store: FakeStore) -> None:
    store.answering.clear()
    cache.put_many({b"0": b""})
    wait_until(lambda: ("write", [b"0"]) in store.asked)
    for number in range(1, 100):
        cache.put_many({str(number).encode(): b""})


def test_a_read_goes_before_waiting_writes(started: Start, store: FakeStore) -> None:
    cache = started(PATIENT_S)
    hung_in_a_write_with_more_waiting(cache, store)
    waiting = cache._requests.qsize()
    reader = Thread(target=cache.get_many, args=([b"read"],))
    reader.start()
    wait_until(lambda: cache._requests.qsize() > waiting)
    store.answering.set()
    reader.join()
    assert store.asked[1:3] == [("write", [b"0"]), ("read", [b"read"])]


def test_writes_beyond_the_bound_are_dropped(started: Start, store: FakeStore) -> None:
    cache = started(PATIENT_S)
    hung_in_a_write_with_more_waiting(cache, store)
    store.answering.set()
    cache.close()
    assert len(store.values) == 1 + MAX_WAITING_WRITES


def test_close_writes_what_is_pending_and_closes_the_store(started: Start, store: FakeStore) -> None:
    cache = started(PATIENT_S)
    for number in range(5):
        cache.put_many({bytes([number]): b""})
    cache.close()
    assert store.closed.is_set()
    assert len(store.values) == 5


def test_close_does_not_wait_for_a_store_that_hangs(started: Start, store: FakeStore) -> None:
    cache = started(TIMEOUT_S)
    store.answering.clear()
    for number in range(20):
        cache.put_many({bytes([number]): b""})
    begun_s = time.monotonic()
    cache.close()
    assert time.monotonic() - begun_s < 5


def test_a_url_that_is_none_is_refused_without_quoting_the_password() -> None:
    with pytest.raises(ReaderError, match="REDIS_URL is not a Redis URL") as refusal:
        RedisStore("redis://user:hush/hush@host:6379/0", 60)
    assert "hush" not in str(refusal.value)
    assert refusal.value.__suppress_context__
