"""Requests that no sound client sends, byte by byte over a real socket."""

import logging
import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from consumer.http.connections import READ_BYTES, ImpatientProtocol
from tests.http_serving import Server, serving, wait_until
from tests.raw_http import BODY, CHUNKED, CLOSE, LENGTH, get, request, talk

CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
HEALTHZ = get(b"/healthz")
LAST = get(b"/healthz", CLOSE)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    "sent",
    [
        request(headers=LENGTH + CHUNKED, body=CHUNKS),
        request(headers=CHUNKED + LENGTH, body=CHUNKS),
        request(headers=LENGTH + CHUNKED, body=CHUNKS, method=b"OPTIONS"),
        request(headers=CHUNKED, body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"),
        request(headers=b"Content-Length: 3\r\n" + LENGTH),
        request(headers=b"Content-Length: 3, 19\r\n"),
        request(headers=b"Content-Length: +19\r\n"),
        request(headers=b"Content-Length : 19\r\n"),
        request(headers=CHUNKED + CHUNKED, body=CHUNKS),
        request(headers=b"Transfer-Encoding: gzip, chunked\r\n", body=CHUNKS),
        request(headers=b"Transfer-Encoding:\x0bchunked\r\n", body=CHUNKS),
        request(headers=CHUNKED, body=b"zz\r\n"),
        request(headers=CHUNKED, body=b"-1\r\n"),
        request(headers=CHUNKED, body=b"13;" + b"x" * 100_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
        request(headers=CHUNKED, body=CHUNKS[:-2] + b"a: b\r\n" * 20_000 + b"\r\n"),
        get(b"/healthz", b"Host: other\r\n"),
        get(b"/healthz", b"a: b\r\n" * 30_000),
        get(b"/healthz", b"a: " + b"b" * 100_000 + b"\r\n"),
        get(b"/" + b"a" * 1_000_000),
        get(b"/nothing?" + b"a=b&" * 50_000),
        get(b"/\x00"),
        get(b"/a b"),
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
    ],
)
def test_what_is_no_sound_request_is_refused_with_a_sentence_and_ends_its_connection(
    server: Server, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), capture_logs() as logs:
        told = talk(server, sent + HEALTHZ)
    assert (told.statuses[0], told.ended) == (400, True)
    assert len(told.statuses) == 1, "what came after it was taken for a request"
    assert b"RFC 9112" in told.raw
    assert (logs, caplog.text) == ([], ""), "anybody could fill the log"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_a_body_that_turns_out_broken_while_it_is_answered_is_no_fault_of_the_server(
    server: Server, method: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        for target in (b"/healthz", b"/metrics", b"/nothing", b"/predict"):
            assert talk(server, request(target, CHUNKED, b"1\r\n{\r\nzz\r\n", method)).ended
        assert server.get("/healthz").status == 200
    assert (logs, caplog.text) == ([], "")
    assert server.count("/healthz", 500) == server.count("/metrics", 500) == 0


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Content-Type",
        "Content-Encoding",
        "X-Goog-Api-Key",
        "X-Request-Timeout-Ms",
        "Origin",
        "Sec-Fetch-Site",
    ],
)
def test_a_header_that_can_mean_one_thing_only_is_refused_where_it_comes_twice(server: Server, name: str) -> None:
    for values in (("10", "10"), ("10", "20")):
        twice = b"".join(
            f"{one}: {value}\r\n".encode() for one, value in zip((name, name.lower()), values, strict=True)
        )
        told = talk(server, request(headers=LENGTH + twice + CLOSE))
        assert told.statuses == [400]
        assert f"The header {name} came twice".encode() in told.raw


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get(b"/healthz").replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
        (get(b"/healthz", b"X-Folded: a\r\n b\r\n"), 200),
        (request(headers=LENGTH + LENGTH), 200),
        (request(headers=LENGTH + b"Expect: the-moon\r\n"), 200),
        (request(headers=LENGTH + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200),
        (request(method=b"BREW"), 405),
        (get(b"http://localhost/healthz"), 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (get(b"/docs/assets/%00"), 404),
        (get(b"/docs/assets/..%2f..%2fcore.py"), 404),
        (get(b"/docs/assets/" + b"a" * 9_000), 404),
        (get(b"/%0d%0aSet-Cookie:%20a=b"), 404),
        (get(b"/%ff%fe"), 404),
    ],
)
def test_what_is_odd_and_sound_is_answered_and_the_connection_stays_in_step(
    server: Server, sent: bytes, status: int
) -> None:
    told = talk(server, sent + LAST)
    assert told.statuses == ([status] if b"HTTP/1.0" in sent else [status, 200])
    assert b"Set-Cookie" not in told.raw


def test_a_body_that_nobody_asked_for_is_not_taken_for_the_next_request(server: Server) -> None:
    for method in (b"HEAD", b"GET", b"OPTIONS"):
        told = talk(server, request(b"/healthz", LENGTH, BODY, method) + LAST)
        assert told.statuses[-1] == 200
        assert len(told.statuses) == 2


def test_who_is_refused_before_being_told_to_continue_gets_no_second_try_on_the_connection() -> None:
    """It may send the body, or the next request in its place."""
    with serving(http_max_request_bytes=2_048) as server:
        told = talk(server, request(headers=b"Expect: 100-continue\r\nContent-Length: 4096\r\n", body=HEALTHZ))
        assert (told.statuses, told.ended) == ([413], True)
        assert talk(server, request(headers=b"Expect: 100-continue\r\n" + LENGTH + CLOSE)).statuses == [100, 200]


def test_little_is_read_at_once_so_that_a_flood_of_chunks_is_not_everybodys_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """43,000 chunks of one byte were read at once, and held everybody up for 1.6 s."""
    sizes: list[int] = []
    real = ImpatientProtocol.data_received

    def noted(self: ImpatientProtocol, data: bytes) -> None:
        sizes.append(len(data))
        real(self, data)

    monkeypatch.setattr(ImpatientProtocol, "data_received", noted)
    with serving() as server:
        body = b"1\r\n \r\n" * 43_000 + CHUNKS
        told = talk(server, request(headers=CHUNKED + CLOSE, body=body), quiet_s=30)
        assert told.statuses == [200]
    assert max(sizes) <= READ_BYTES


def test_a_caller_who_stops_sending_is_gone(server: Server) -> None:
    gone = server.count("/predict", 499)
    with server.connect() as connection:
        connection.sendall(request(headers=b"Content-Length: 100\r\n"))
        wait_until(lambda: server.get("/healthz").status == 200)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1_000) == b""
    wait_until(lambda: server.count("/predict", 499) == gone + 1)
