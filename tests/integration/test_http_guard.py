"""Who may send, how much and how slowly, over a real socket."""

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from consumer.http import connections, guard
from tests.http_serving import HeldEngine, Server, callers, held_up, read_reply, serving, wait_until

TOKEN = "s3cret-tøken"
BODY = json.dumps({"text": "Lovely!"}).encode()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serving(http_token=TOKEN) as server:
        yield server


def bearer(token: str) -> dict[str, str | bytes]:
    return {"Authorization": b"Bearer " + token.encode()}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic " + TOKEN},
        {"Authorization": TOKEN.encode()},
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "x"),
        bearer(TOKEN.upper()),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/v1alpha1/comments:analyze", "/nothing"])
def test_without_the_token_nothing_is_taken(guarded: Server, path: str, headers: dict[str, str]) -> None:
    reply = guarded.ask("POST", path, BODY, headers)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert reply.body["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_with_the_token_texts_are_taken(guarded: Server, scheme: bytes) -> None:
    assert guarded.ask("POST", "/predict", BODY, {"Authorization": scheme + TOKEN.encode()}).status == 200  # type: ignore[dict-item]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
def test_health_metrics_and_documents_need_no_token(guarded: Server, path: str) -> None:
    assert guarded.get(path).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_beyond_loopback_without_a_token_texts_are_refused_with_the_remedy(host: str) -> None:
    with serving(http_host=host) as server:
        reply = server.predict("Lovely!")
        assert reply.status == 403
        assert "Set HTTP_TOKEN" in reply.body["error"]["message"]
        assert server.get("/healthz").status == 200


def test_beyond_loopback_with_a_token_texts_are_taken() -> None:
    with serving(http_host="0.0.0.0", http_token=TOKEN) as server:  # noqa: S104
        assert server.predict("Lovely!").status == 401
        assert server.ask("POST", "/predict", BODY, bearer(TOKEN)).status == 200  # type: ignore[arg-type]


def test_a_body_over_the_limit_is_refused_by_its_length_before_it_is_sent() -> None:
    with serving(http_max_request_bytes=2_048) as server, server.connect() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2049\r\n\r\n")
        answer = b""
        while b"HTTP_MAX_REQUEST_BYTES" not in answer:
            more = connection.recv(65_536)
            assert more, "the connection was closed before the reason came"
            answer += more
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_over_the_limit() -> None:
    with serving(http_max_request_bytes=2_048) as server, server.connect() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"801\r\n" + b" " * 2_049 + b"\r\n")  # and no end
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_exactly_at_the_limit_is_taken_in_either_way() -> None:
    with serving(http_max_request_bytes=2_048) as server:
        body = BODY + b" " * (2_048 - len(BODY))
        assert server.ask("POST", "/predict", body).status == 200
        assert server.ask("POST", "/predict", iter([body[:5], body[5:2_000], body[2_000:]])).status == 200
        assert server.ask("POST", "/predict", iter([body, b" "])).status == 413


def test_the_token_is_looked_at_before_the_body(guarded: Server) -> None:
    with guarded.connect() as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_a_refused_caller_can_go_on_with_the_connection() -> None:
    with serving(http_max_request_bytes=2_048) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/predict", b" " * 100_000)
        assert read_reply(connection).status == 413
        connection.request("POST", "/predict", BODY)
        assert read_reply(connection).status == 200
        connection.close()


def test_bodies_in_memory_are_bounded_whatever_the_number_of_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_HELD_BODIES", 1)
    engine = HeldEngine()
    with serving(engine, http_max_request_bytes=2_048) as server:
        large = BODY + b" " * 1_900
        with held_up(server, engine), callers(1) as pool:
            waiting = pool.submit(server.ask, "POST", "/predict", large)
            wait_until(lambda: server.waiting_texts == 1)
            refused = server.ask("POST", "/predict", large)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            engine.gate.set()
            assert waiting.result().status == 200
        assert server.ask("POST", "/predict", large).status == 200


def test_a_body_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.05)
    with serving() as server, server.connect() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")


def test_slow_callers_block_nobody_and_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 1.0)
    with serving() as server:
        slow = [server.connect() for _ in range(100)]
        for connection in slow:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert server.predict("Lovely!").status == 200
        for connection in slow:
            connection.sendall(b"a")  # still sending does not help
        for connection in slow:
            assert gone(connection)
        assert server.predict("Lovely!").status == 200


def test_a_connection_that_is_kept_alive_waits_no_longer_for_a_slow_second_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 0.2)
    monkeypatch.setattr(connections, "KEEP_ALIVE_S", 0)
    with serving() as server, server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HT")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert gone(connection)


def test_a_request_that_takes_its_time_is_not_taken_for_a_slow_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 0.1)
    engine = HeldEngine()
    with serving(engine) as server:
        with held_up(server, engine) as first:
            time.sleep(0.3)
        assert first.result().status == 200


def gone(connection: socket.socket) -> bool:
    """Whether the server ends the connection, waiting for it."""
    with connection:
        try:
            while connection.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True
