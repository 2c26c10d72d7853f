"""Bodies that come packed, over a real socket."""

import gzip
import json
import os
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from consumer.http import guard, unpacking
from tests.http_serving import HeldEngine, Reply, Server, callers, held_up, serving, wait_until
from tests.raw_http import BODY

LIMIT = 65_536


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(http_max_request_bytes=LIMIT) as running:
        yield running


def ask(server: Server, body: object, encoding: str = "gzip") -> Reply:
    return server.ask("POST", "/predict", body, {"Content-Encoding": encoding})


def padded(size: int) -> bytes:
    return BODY + b" " * (size - len(BODY))


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip "])
@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(BODY),
        gzip.compress(BODY, compresslevel=0),
        gzip.compress(BODY[:5]) + gzip.compress(b"") + gzip.compress(BODY[5:]),
        gzip.compress(BODY) + b"\0" * 512,
        gzip.compress(padded(LIMIT)),
    ],
)
def test_a_packed_body_is_unpacked(server: Server, packed: bytes, encoding: str) -> None:
    assert ask(server, packed, encoding).status == 200
    assert ask(server, iter([packed[:11], packed[11:]]), encoding).status == 200
    assert ask(server, iter([bytes([byte]) for byte in packed[:200]] + [packed[200:]]), encoding).status == 200


def test_a_body_as_it_is_may_say_so(server: Server) -> None:
    assert ask(server, BODY, "identity").status == 200
    assert ask(server, BODY, "").status == 200


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "identity, gzip", "x" * 5_000])
def test_another_encoding_is_refused_with_those_that_are_taken(server: Server, encoding: str) -> None:
    reply = ask(server, BODY, encoding)
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "gzip, identity")
    assert reply.body["error"]["message"] == (
        "The body's Content-Encoding is not taken here; send it as gzip, or as it is (identity)."
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (BODY, "no sound gzip"),
        (b"", "ends in the middle"),
        (gzip.compress(BODY)[:-1], "ends in the middle"),
        (gzip.compress(BODY)[:12], "ends in the middle"),
        (gzip.compress(BODY) + b"x", "ends in the middle"),
        (gzip.compress(BODY) + b"more", "no sound gzip"),
        (gzip.compress(BODY)[:-8] + b"12345678", "no sound gzip"),
        (zlib.compress(BODY), "no sound gzip"),
        (gzip.compress(b"") * (unpacking.MOST_MEMBERS + 1), "more than 1,024 gzip members"),
    ],
)
def test_a_body_that_is_no_gzip_is_refused_with_a_sentence(server: Server, body: bytes, sentence: str) -> None:
    reply = ask(server, body)
    assert reply.status == 400, reply
    assert sentence in reply.body["error"]["message"]


def test_a_bomb_is_too_large_and_never_lies_in_memory_unpacked(server: Server) -> None:
    bomb = gzip.compress(b" " * 60_000_000)
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        refused = ask(server, bomb)
        in_chunks = ask(server, iter([bomb[:100], bomb[100:]]))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (refused.status, in_chunks.status) == (413, 413)
    assert "unpacked where it is gzip" in refused.body["error"]["message"]
    assert peak_bytes < 5_000_000
    assert ask(server, gzip.compress(padded(LIMIT + 1))).status == 413


def test_what_unpacks_to_nothing_is_bounded_too(server: Server) -> None:
    assert ask(server, iter([gzip.compress(BODY)] + [b"\0" * 1_000] * 100)).status == 413
    assert ask(server, iter([gzip.compress(os.urandom(40_000))] * 2)).status == 413


def test_memory_is_bounded_by_what_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_HELD_BODIES", 1)
    engine = HeldEngine()
    packed = gzip.compress(padded(1_900))
    with serving(engine, http_max_request_bytes=2_048) as running:
        with held_up(running, engine), callers(1) as pool:
            waiting = pool.submit(ask, running, packed)
            wait_until(lambda: running.waiting_texts == 1)
            assert ask(running, packed).status == 429
            engine.gate.set()
            assert waiting.result().status == 200
        assert ask(running, packed).status == 200


def test_the_perspective_routes_take_packed_bodies(server: Server) -> None:
    asked = {"comment": {"text": "Lovely!"}, "requestedAttributes": {"TOXICITY": {}}}
    packed = gzip.compress(json.dumps(asked).encode())
    reply = server.ask("POST", "/v1alpha1/comments:analyze", packed, {"Content-Encoding": "gzip"})
    assert reply.status == 200, reply
