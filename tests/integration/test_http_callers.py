"""Whom a server without a token answers: programs of this machine, and no web page of another."""

import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.http_serving import Server, serving
from tests.raw_http import BODY, CLOSE, LENGTH, request, talk

PAGE = "https://moderation.example"


@pytest.fixture(scope="module")
def tokenless() -> Iterator[Server]:
    with serving(http_allowed_origins=PAGE) as running:
        yield running


def ask(server: Server, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.ask("POST", "/predict", BODY, named).status


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.1.2.3:80",
        "[::1]:8000",
        "[::ffff:127.0.0.1]",
    ],
)
def test_the_names_of_this_machine_are_answered(tokenless: Server, host: str) -> None:
    assert ask(tokenless, Host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "localhost@evil.example",
        "localhost:8000:80",
        "[::2]",
        "[localhost",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "x",
        "",
        "m\u00f6derate",
        "9" * 5_000,
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/v1alpha1/comments:analyze", "/nothing"])
def test_a_page_whose_name_was_made_to_mean_this_machine_is_refused(tokenless: Server, host: str, path: str) -> None:
    sent = request(path.encode(), LENGTH + CLOSE).replace(b"Host: localhost", b"Host: " + host.encode("latin-1"))
    told = talk(tokenless, sent)
    assert told.statuses == [403]
    assert b"HTTP_TOKEN" in told.raw


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/$discovery/rest"])
def test_such_a_page_reads_no_documents_either(tokenless: Server, path: str) -> None:
    assert tokenless.get(path, Host="evil.example").status == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_may_ask_under_any_name(tokenless: Server, path: str) -> None:
    assert tokenless.get(path, Host="10.0.0.1:8000", Origin="https://evil.example").status == 200


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8000", PAGE, PAGE.upper()]
)
def test_pages_of_this_machine_and_those_that_are_named_are_answered(tokenless: Server, origin: str) -> None:
    assert ask(tokenless, Origin=origin, Sec_Fetch_Site="cross-site") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost@evil.example"},
        {"Origin": "file://localhost"},
        {"Origin": PAGE + ".evil.example"},
        {"Origin": PAGE + ":8443"},
        {"Origin": "http://localhost, https://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_other_pages_are_refused(tokenless: Server, headers: dict[str, str], content_type: str) -> None:
    reply = tokenless.predict("Lovely!", Content_Type=content_type, **headers)
    assert (reply.status, reply.body["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert "HTTP_ALLOWED_ORIGINS" in reply.body["error"]["message"]


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_the_page_of_documents_may_try_what_it_describes(tokenless: Server, site: str) -> None:
    assert ask(tokenless, Sec_Fetch_Site=site) == 200
    assert tokenless.get("/docs", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status == 200


def test_the_configured_host_is_a_name_of_this_machine() -> None:
    with serving(loading=True, http_host="127.0.0.2") as server:
        for host, status in ((b"127.0.0.2", b"503"), (b"localhost", b"503"), (b"evil.example", b"403")):
            with socket.create_connection(("127.0.0.2", server.port), timeout=30) as connection:
                connection.sendall(request().replace(b"localhost", host))
                assert connection.recv(100).startswith(b"HTTP/1.1 " + status)


def test_with_a_token_the_token_alone_decides() -> None:
    with serving(http_token="0123456789abcdef") as server:
        allowed = {"Authorization": "Bearer 0123456789abcdef"}
        assert ask(server, Host="moderation.example", Origin="https://other.example", **allowed) == 200
        assert server.get("/docs", Host="moderation.example").status == 200


def test_a_key_that_comes_twice_is_refused() -> None:
    with serving(http_token="0123456789abcdef") as server:
        for other in ("0123456789abcdef", "x"):
            reply = server.ask("POST", f"/v1alpha1/comments:analyze?key=0123456789abcdef&key={other}", BODY)
            assert reply.status == 400
            assert "`key` twice" in reply.body["error"]["message"]


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [
        ("0.0.0.0", "s3cret", "http_token_short"),  # noqa: S104
        ("0.0.0.0", "0123456789abcde", "http_token_short"),  # noqa: S104
        ("0.0.0.0", "0123456789abcdef", ""),  # noqa: S104
        ("127.0.0.1", "s3cret", ""),
    ],
)
def test_a_token_that_can_be_guessed_is_warned_of_where_others_can_try(host: str, token: str, warned: str) -> None:
    with capture_logs() as logs, serving(http_host=host, http_token=token):
        pass
    events = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert events == [warned] * bool(warned)
    assert token not in str(logs)
