from collections.abc import Iterator, Mapping, Sequence

import pytest

from consumer.answer import Answer
from consumer.cache import AnswerCache, AnswerCodec, SharedCache
from tests.waiting import wait_until

FIRST = Answer((0.25, 0.75), False)
SECOND = Answer((0.5, 0.5), True)


class DictStore:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.reads: list[list[bytes]] = []

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self.reads.append(list(keys))
        return {key: self.values[key] for key in keys if key in self.values}

    def write(self, values: Mapping[bytes, bytes]) -> None:
        self.values.update(values)

    def close(self) -> None:
        pass


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture
def cache(store: DictStore) -> Iterator[AnswerCache]:
    cache = member(store)
    yield cache
    cache.close()


def member(store: DictStore) -> AnswerCache:
    shared = SharedCache(store, timeout_s=30)
    wait_until(lambda: len(store.reads) > 0)
    store.reads.clear()
    return AnswerCache(10, AnswerCodec(2, "secret", [slice(0, 2)]), shared)


def test_memory_answers_what_this_process_stored_without_asking_redis(cache: AnswerCache, store: DictStore) -> None:
    cache.store({b"a": FIRST})
    assert cache.lookup([b"a"]) == {b"a": (FIRST, "memory")}
    assert store.reads == []


def test_redis_is_asked_once_and_only_for_what_memory_lacks(cache: AnswerCache, store: DictStore) -> None:
    cache.store({b"a": FIRST})
    assert cache.lookup([b"b", b"a", b"b", b"c", b"c"]) == {b"a": (FIRST, "memory")}
    assert store.reads == [[b"b", b"c"]]


def test_what_another_member_stored_comes_from_redis_and_then_from_memory(cache: AnswerCache, store: DictStore) -> None:
    cache.store({b"a": FIRST, b"b": SECOND})
    wait_until(lambda: len(store.values) == 2)
    other = member(store)
    assert other.lookup([b"a", b"b"]) == {b"a": (FIRST, "redis"), b"b": (SECOND, "redis")}
    assert other.lookup([b"a", b"b"]) == {b"a": (FIRST, "memory"), b"b": (SECOND, "memory")}
    other.close()


def test_a_corrupted_value_is_a_miss_that_spoils_no_other(cache: AnswerCache, store: DictStore) -> None:
    codec = AnswerCodec(2, "secret", [slice(0, 2)])
    store.values[b"good"] = codec.encode(b"good", FIRST)
    store.values[b"bad"] = codec.encode(b"bad", SECOND)[:-1] + b"?"
    store.values[b"swapped"] = store.values[b"good"]
    assert cache.lookup([b"good", b"bad", b"swapped"]) == {b"good": (FIRST, "redis")}
    assert cache.lookup([b"bad", b"swapped"]) == {}


def test_without_redis_memory_works_alone() -> None:
    cache = AnswerCache(10, AnswerCodec(2, "", []), None)
    cache.store({b"a": FIRST})
    assert cache.lookup([b"a", b"b"]) == {b"a": (FIRST, "memory")}
    assert cache.state == "memory-only"
    cache.close()
