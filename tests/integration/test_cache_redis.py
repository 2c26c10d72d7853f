import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from consumer.answer import Answer
from consumer.cache import AnswerCache, AnswerCodec, RedisStore, SharedCache, key_function
from tests.redis_server import RedisServer, running_redis
from tests.waiting import wait_until

TEXTS = [f"comment number {number}" for number in range(20)]
ANSWERS = [Answer((number / 32, 1 - number / 32), number % 2 == 0) for number in range(20)]
TIMEOUT_S = 0.5
PATIENT_S = 30.0
NOISE_S = 3.0
"""What a busy machine may add to a timeout."""


class Member:
    """One process's cache, as the application puts it together; the circuit's clock runs 20 times as fast."""

    def __init__(self, url: str, fingerprint: str = "model", secret: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.key = key_function(fingerprint, secret)
        self.timeout_s = timeout_s
        shared = SharedCache(RedisStore(url, ttl_s=600), timeout_s, lambda: time.monotonic() * 20)
        codec = AnswerCodec(2, secret, [slice(0, 2)])
        self.cache = AnswerCache(0, codec, shared)  # no memory: everything is Redis' answer

    def store_all(self) -> None:
        self.cache.store({self.key(text): answer for text, answer in zip(TEXTS, ANSWERS, strict=True)})

    def found(self) -> list[Answer | None]:
        """What Redis says about each text, within the timeout or not at all."""
        begun_s = time.monotonic()
        found = self.cache.lookup([self.key(text) for text in TEXTS])
        assert time.monotonic() - begun_s < self.timeout_s + NOISE_S
        return [found[self.key(text)][0] if self.key(text) in found else None for text in TEXTS]


Join = Callable[..., Member]
NOTHING: list[Answer | None] = [None] * len(TEXTS)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def join() -> Iterator[Join]:
    members = []

    def join(*args: Any, **settings: Any) -> Member:
        members.append(Member(*args, **settings))
        return members[-1]

    yield join
    for member in members:
        member.cache.close()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


def filled(server: RedisServer) -> bool:
    return server.client().dbsize() == len(TEXTS)


def test_a_new_process_reads_what_another_wrote_and_it_expires(server: RedisServer, join: Join) -> None:
    writer = join(server.url, secret="secret")
    writer.store_all()
    writer.cache.close()
    assert join(server.url, secret="secret", timeout_s=PATIENT_S).found() == ANSWERS
    assert all(0 < server.client().ttl(key) <= 600 for key in server.client().scan_iter())


def test_another_model_or_secret_never_reads_them(server: RedisServer, join: Join) -> None:
    join(server.url, secret="secret").store_all()
    wait_until(lambda: filled(server))
    assert join(server.url, fingerprint="another model", secret="secret").found() == NOTHING
    assert join(server.url, secret="another secret").found() == NOTHING
    assert join(server.url).found() == NOTHING


def test_no_text_is_stored(server: RedisServer, join: Join) -> None:
    join(server.url).store_all()
    wait_until(lambda: filled(server))
    for key in server.client().scan_iter():
        assert b"comment" not in key
        assert "comment" not in str(server.client().get(key))


def test_corrupted_swapped_and_foreign_values_are_misses(server: RedisServer, join: Join) -> None:
    member = join(server.url, timeout_s=PATIENT_S)
    member.store_all()
    wait_until(lambda: filled(server))
    client = server.client()
    keys = [member.key(text) for text in TEXTS]
    client.setrange(keys[0], 3, b"?")
    client.set(keys[1], client.get(keys[2]) or b"")
    client.set(keys[3], "nonsense")
    client.delete(keys[4])
    client.rpush(keys[4], "a list")
    assert member.found() == [None, None, ANSWERS[2], None, None, *ANSWERS[5:]]
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)


def test_redis_killed_and_restarted_is_noticed_once_each_way(server: RedisServer, join: Join, logs: list[Any]) -> None:
    member = join(server.url)
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    server.kill()

    def open_after_another_batch() -> bool:
        assert member.found() == NOTHING
        member.store_all()
        return member.cache.state == "open"

    wait_until(open_after_another_batch)
    for _ in range(100):
        open_after_another_batch()
    server.start()

    def hit_after_another_batch() -> bool:
        member.store_all()
        return member.found() == ANSWERS

    wait_until(hit_after_another_batch)
    assert [entry["event"] for entry in logs] == ["cache_open", "cache_closed"]


def test_a_redis_restarted_between_two_batches_costs_at_most_one_of_them(
    server: RedisServer, join: Join, logs: list[Any]
) -> None:
    member = join(server.url)
    member.found()
    server.kill()
    server.start()
    member.found()
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    assert logs == []


def test_a_redis_that_hangs_delays_no_batch_beyond_the_timeout(
    server: RedisServer, join: Join, logs: list[Any]
) -> None:
    member = join(server.url)
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    server.freeze()
    for _ in range(3):
        assert member.found() == NOTHING
        member.store_all()
    assert member.cache.state == "open"
    begun_s = time.monotonic()
    member.cache.close()
    assert time.monotonic() - begun_s < 1 + NOISE_S
    assert [entry["reason"] for entry in logs] == ["TimeoutError"]
    server.thaw()
    again = join(server.url)
    wait_until(lambda: again.found() == ANSWERS)


def test_a_redis_that_answers_again_serves_the_same_process(server: RedisServer, join: Join) -> None:
    member = join(server.url)
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    server.freeze()
    wait_until(lambda: member.found() == NOTHING and member.cache.state == "open")
    server.thaw()
    wait_until(lambda: member.found() == ANSWERS)


def test_a_full_redis_still_answers_and_is_logged_once(join: Join, logs: list[Any]) -> None:
    with running_redis("--maxmemory-policy", "noeviction") as server:
        member = join(server.url, timeout_s=PATIENT_S)
        member.store_all()
        wait_until(lambda: filled(server))
        server.client().config_set("maxmemory", "1")

        def writes_open_after_another_batch() -> bool:
            member.store_all()
            assert member.found() == ANSWERS
            return member.cache.state == "writes-open"

        wait_until(writes_open_after_another_batch)
        for _ in range(100):
            writes_open_after_another_batch()
        server.client().config_set("maxmemory", "0")

        def closed_after_another_batch() -> bool:
            member.store_all()
            return member.cache.state == "closed"

        wait_until(closed_after_another_batch)
        assert [(entry["event"], entry["affected"]) for entry in logs] == [
            ("cache_open", "writes"),
            ("cache_closed", "writes"),
        ]
        assert logs[0]["reason"] == "OutOfMemoryError"


def test_a_replica_still_answers(server: RedisServer, join: Join, logs: list[Any]) -> None:
    join(server.url).store_all()
    wait_until(lambda: filled(server))
    with running_redis("--replicaof", f"127.0.0.1 {server.port}") as replica:
        wait_until(lambda: filled(replica))
        member = join(replica.url, timeout_s=PATIENT_S)

        def writes_open_after_another_batch() -> bool:
            member.store_all()
            assert member.found() == ANSWERS
            return member.cache.state == "writes-open"

        wait_until(writes_open_after_another_batch)
        assert [entry["reason"] for entry in logs] == ["ReadOnlyError"]


@pytest.mark.parametrize("password", ["", ":wrong@"])
def test_a_missing_or_wrong_password_is_misses_and_one_warning(password: str, join: Join, logs: list[Any]) -> None:
    with running_redis("--requirepass", "right") as server:
        member = join(server.url.replace("//", f"//{password}"))
        wait_until(lambda: member.cache.state == "open")
        for _ in range(50):
            assert member.found() == NOTHING
            member.store_all()
        assert [(entry["log_level"], entry["reason"]) for entry in logs] == [("warning", "AuthenticationError")]
        assert "REDIS_URL" in logs[0]["remedy"]
        assert "wrong" not in str(logs)


def test_the_right_password_is_let_in(join: Join) -> None:
    with running_redis("--requirepass", "right/ü") as server:
        member = join(server.url.replace("//", "//:right%2F%C3%BC@"))
        member.store_all()
        wait_until(lambda: member.found() == ANSWERS)


def test_a_batch_larger_than_one_command_is_stored_and_found_whole(server: RedisServer, join: Join) -> None:
    member = join(server.url, timeout_s=PATIENT_S)
    answers = {member.key(str(number)): ANSWERS[number % 20] for number in range(2_500)}
    member.cache.store(answers)
    wait_until(lambda: server.client().dbsize() == len(answers))
    assert member.cache.lookup(answers) == {key: (answer, "redis") for key, answer in answers.items()}


def test_a_value_too_large_to_be_one_is_not_read_whole_and_is_replaced_by_the_next_answer(
    server: RedisServer, join: Join, logs: list[Any]
) -> None:
    member = join(server.url, timeout_s=PATIENT_S)
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    server.client().setrange(member.key(TEXTS[0]), 64 * 1024 * 1024, b"x")
    assert member.found() == NOTHING
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    server.client().setrange(member.key(TEXTS[0]), 64 * 1024 * 1024, b"x")
    for _ in range(3):
        assert member.found() == NOTHING
    assert [entry["reason"] for entry in logs] == ["OversizedReplyError"]
    assert "moderate:*" in logs[0]["remedy"]


def test_a_script_that_keeps_redis_busy_delays_no_batch_beyond_the_timeout(server: RedisServer, join: Join) -> None:
    member = join(server.url)
    member.store_all()
    wait_until(lambda: member.found() == ANSWERS)
    server.client().config_set("busy-reply-threshold", 50)
    script = Thread(target=lambda: suppressed(server, "while true do end"))
    script.start()
    wait_until(lambda: member.found() == NOTHING and member.cache.state == "open")
    server.client().script_kill()
    script.join()
    wait_until(lambda: member.found() == ANSWERS)


def suppressed(server: RedisServer, script: str) -> None:
    with suppress(redis.RedisError), redis.Redis.from_url(server.url, socket_timeout=None) as client:
        client.eval(script, 0)
