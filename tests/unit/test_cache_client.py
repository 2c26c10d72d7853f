"""What RedisStore makes of replies that no sound Redis gives; a server of a few lines on loopback gives them."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from consumer.cache.client import MAX_REPLY_BYTES, OversizedReplyError, RedisStore

KEYS = [b"a", b"b"]


@contextmanager
def server_that_says(*replies: bytes) -> Iterator[str]:
    """A server that gives the next of `replies`, then the last one for ever, whatever it is asked."""
    left = list(replies)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65_536):
                self.request.sendall(left.pop(0) if len(left) > 1 else left[0])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()
        thread.join()


def store(url: str) -> RedisStore:
    return RedisStore(url, ttl_s=60)


def test_what_was_asked_for_is_read() -> None:
    with server_that_says(b"*2\r\n$1\r\nx\r\n$-1\r\n") as url:
        assert store(url).read(KEYS) == {b"a": b"x"}


@pytest.mark.parametrize(
    "reply",
    [
        b"*2\r\n:1\r\n$1\r\nx\r\n",
        b"*2\r\n*1\r\n$1\r\ny\r\n$1\r\nx\r\n",
        b"*2\r\n-ERR broken\r\n$1\r\nx\r\n",
        b"*2\r\n+OK\r\n$1\r\nx\r\n",
    ],
    ids=["a number", "a list", "an error", "a status"],
)
def test_what_is_no_value_among_values_is_never_an_answer(reply: bytes) -> None:
    with server_that_says(reply) as url:
        found = store(url).read(KEYS)
    assert found[b"b"] == b"x"
    assert found.get(b"a") in (None, b"OK")  # RESP2 tells a status from a value by nothing but its first byte


@pytest.mark.parametrize(
    "reply",
    [
        b"*1\r\n$1\r\nx\r\n",
        b"*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n",
        b"*-1\r\n",
        b"$1\r\nx\r\n",
        b":2\r\n",
        b"-ERR no\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["too few", "too many", "nothing", "one value", "a number", "an error", "another protocol"],
)
def test_a_reply_of_another_shape_is_an_error_that_the_circuit_sees_and_no_answer(reply: bytes) -> None:
    with server_that_says(reply) as url, pytest.raises(Exception):  # noqa: B017,PT011 - Store says: may raise anything
        store(url).read(KEYS)


def test_what_is_left_over_of_one_reply_is_never_taken_for_the_next() -> None:
    both = b"*2\r\n$3\r\nold\r\n$3\r\nold\r\n" * 2
    with server_that_says(both, b"*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n") as url:
        redis_store = store(url)
        assert redis_store.read(KEYS) == {b"a": b"old", b"b": b"old"}
        assert redis_store.read(KEYS) == {b"a": b"new", b"b": b"new"}


@pytest.mark.parametrize(
    "reply",
    [
        b"*2\r\n$%d\r\n" % (MAX_REPLY_BYTES * 2) + bytes(MAX_REPLY_BYTES * 2) + b"\r\n$1\r\nx\r\n",
        b"*2\r\n" + (b"$%d\r\n" % MAX_REPLY_BYTES + bytes(MAX_REPLY_BYTES) + b"\r\n") * 2,
        b"*100000000\r\n" + b"$1\r\nx\r\n" * (MAX_REPLY_BYTES // 4),
    ],
    ids=["one value", "two values", "a list without end"],
)
def test_a_reply_larger_than_any_of_ours_ends_the_connection_and_the_next_one_is_read(reply: bytes) -> None:
    with server_that_says(reply, b"*2\r\n$1\r\nx\r\n$-1\r\n") as url:
        redis_store = store(url)
        with pytest.raises(OversizedReplyError):
            redis_store.read(KEYS)
        assert redis_store.read(KEYS) == {b"a": b"x"}


def test_a_reply_as_large_as_the_largest_of_ours_is_read() -> None:
    values = [b"%06d" % number + bytes(4_000) for number in range(1_000)]
    reply = b"*1000\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(value), value) for value in values)
    keys = [b"%d" % number for number in range(1_000)]
    with server_that_says(reply) as url:
        redis_store = store(url)
        for _ in range(3):
            assert redis_store.read(keys) == dict(zip(keys, values, strict=True))
