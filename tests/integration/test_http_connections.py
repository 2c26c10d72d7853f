"""Callers who hold their connections and do nothing with them, over real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest

from consumer.http import connections, listening, room, server
from tests.http_serving import HeldEngine, Server, held_up, serving, wait_until
from tests.raw_http import get, listen_to, request

FEW = 16
HALF_A_BODY = request(headers=b"Content-Length: 100\r\n", body=b'{"text": "')


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes next to nothing of an answer off the server's hands; connections inherit it."""
    real = listening.listen

    def listen(host: str, port: int) -> socket.socket:
        opened = real(host, port)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        return opened

    monkeypatch.setattr(server, "listen", listen)


def reader(running: Server, sent: bytes) -> socket.socket:
    """A caller whose system takes next to nothing off its hands either."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", running.port))
    connection.sendall(sent)
    return connection


@contextmanager
def many(running: Server, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many connections on which `sent` has been sent."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(running.connect()))
            opened[-1].sendall(sent)
        yield opened


@contextmanager
def busy(running: Server, engine: HeldEngine, count: int) -> Iterator[None]:
    """The server works for so many callers, until the end."""
    with held_up(running, engine), ThreadPoolExecutor(count) as pool:
        replies = [pool.submit(running.predict, f"text {n}") for n in range(count - 1)]
        wait_until(lambda: running.waiting_texts == count - 1)
        yield
        engine.gate.set()
        assert {reply.result().status for reply in replies} == {200}


@pytest.mark.usefixtures("small_buffers")
def test_who_reads_nothing_of_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT_S", 0.3)
    paths = [b"/metrics", b"/docs/assets/swagger-ui-bundle.js", b"/openapi.json", b"/nothing"]
    with serving() as running, ExitStack() as stack:
        held = {path: stack.enter_context(reader(running, get(path) * 100)) for path in paths}
        time.sleep(2)
        for path, connection in held.items():
            told = listen_to(connection)
            assert told.ended, f"the server still waits for him who asked for {path!r}"
            assert len(told.statuses) < 100, path


@pytest.mark.usefixtures("small_buffers")
def test_who_reads_nothing_of_his_predictions_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT_S", 0.3)
    body = json.dumps({"texts": [f"text {n}" for n in range(256)]}).encode()
    with serving() as running, reader(running, request(headers=b"Content-Length: %d\r\n" % len(body), body=body)) as it:
        wait_until(lambda: running.count("/predict", 200) == 1)
        time.sleep(2)
        told = listen_to(it)
        assert told.ended
        assert not told.raw.endswith(b"]}")


@pytest.mark.usefixtures("small_buffers")
def test_who_reads_slowly_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT_S", 1.0)
    monkeypatch.setattr(connections, "WRITE_LEAST_BYTES", 1_000)
    began_s = time.monotonic()
    with serving() as running, reader(running, get(b"/openapi.json", b"Connection: close\r\n")) as connection:
        read = b""
        while more := connection.recv(500):
            read += more
            time.sleep(0.02)
    assert time.monotonic() - began_s > 1.0, "it was not slow"
    assert read.endswith(b"}")


def is_answered(connection: socket.socket) -> bool:
    """Whether the connection is still good for a request."""
    connection.sendall(get(b"/healthz"))
    answer = b""
    while not answer.endswith(b"}}") and (more := connection.recv(65_536)):
        answer += more
    return answer.startswith(b"HTTP/1.1 200")


def test_the_longest_idle_connection_makes_room_for_the_next_one() -> None:
    with serving(http_max_connections=FEW) as running, many(running, FEW, b"") as idle:
        assert all(map(is_answered, [*idle, idle[0]]))  # so that the second one is idle for longest
        assert running.predict("Lovely!").status == 200
        assert idle[1].recv(1) == b""
        assert is_answered(idle[0])


@pytest.mark.parametrize("sent", [b"", b"POST /predict HTTP/1.1\r\nHost: ", HALF_A_BODY, get(b"/healthz")])
def test_callers_who_hold_connections_keep_nobody_out(sent: bytes) -> None:
    with serving(http_max_connections=FEW) as running, many(running, 5 * FEW, sent):
        # At once, but for the moment in which so many are really being answered.
        wait_until(lambda: running.predict("Lovely!").status == 200)
        assert running.get("/healthz").status == 200


@pytest.mark.usefixtures("small_buffers")
def test_callers_who_read_nothing_keep_nobody_out() -> None:
    with serving(http_max_connections=FEW) as running, ExitStack() as stack:
        for _ in range(3 * FEW):
            stack.enter_context(reader(running, get(b"/metrics")))
        wait_until(lambda: running.predict("Lovely!").status == 200)


def test_where_all_connections_are_worked_for_only_health_and_metrics_are_answered() -> None:
    engine = HeldEngine()
    with serving(engine, http_max_connections=FEW) as running:
        with busy(running, engine, FEW):
            for path in ("/healthz", "/readyz", "/metrics"):
                reply = running.get(path)
                assert (reply.status, reply.headers["connection"]) == (200, "close")
            refused = running.predict("one more")
            assert (refused.status, refused.headers["retry-after"], refused.headers["connection"]) == (
                503,
                "1",
                "close",
            )
            assert "HTTP_MAX_CONNECTIONS" in refused.body["error"]["message"]
            assert running.get("/docs").status == 503
        assert running.predict("one more").status == 200


@pytest.mark.parametrize("sent", [b"", HALF_A_BODY, get(b"/healthz"), get(b"/metrics") * 50])
def test_nobody_takes_the_room_that_is_kept_for_health(sent: bytes) -> None:
    engine = HeldEngine()
    with serving(engine, http_max_connections=FEW) as running, busy(running, engine, FEW):
        with many(running, 2 * room.RESERVED, sent):
            assert running.get("/healthz").status == 200
        engine.gate.set()


def test_few_files_of_the_documents_are_open_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.http.downloads.MOST_DOWNLOADS", 0)
    with serving() as running:
        refused = running.get("/docs/assets/swagger-ui.css")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert running.get("/docs").status == 200


def test_a_refused_body_that_never_ends_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 0.3)
    with serving() as running, running.connect() as connection:
        connection.sendall(request(headers=b"Content-Length: 99999999\r\n", body=b" "))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")
        began_s = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began_s < 20:
                connection.sendall(b" ")
                time.sleep(0.02)
        assert time.monotonic() - began_s < 20


def test_after_a_refused_body_has_ended_the_connection_is_kept_as_long_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 0.3)
    with serving(http_max_request_bytes=2_048) as running, running.connect() as connection:
        connection.sendall(request(headers=b"Content-Length: 4096\r\n", body=b" "))
        told = b""
        while not told.endswith(b"}}"):
            told += connection.recv(65_536)
        connection.sendall(b" " * 4_095)
        time.sleep(1)
        connection.sendall(get(b"/healthz"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
