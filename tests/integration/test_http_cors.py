"""Web pages that call from their readers' browsers."""

from typing import Any

import pytest

from tests.http_serving import Reply, Server, serving, wait_until
from tests.raw_http import BODY, request, talk

PAGE = "https://www.example.org"
TOKEN = "0123456789abcdef"
ANALYZE = "/v1alpha1/comments:analyze"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


def allowed(reply: Reply) -> str | None:
    assert "access-control-allow-credentials" not in reply.headers
    return reply.headers.get("access-control-allow-origin")


def post(server: Server, path: str, origin: str = PAGE, body: Any = BODY, **headers: str) -> Reply:
    return server.ask("POST", path, body, {"Origin": origin, "Authorization": f"Bearer {TOKEN}", **headers})


def test_a_browser_is_told_beforehand_and_needs_no_token_for_it() -> None:
    with serving(http_token=TOKEN, http_allowed_origins=f"https://other.example, {PAGE.upper()}:443") as server:
        wanted = {"Access-Control-Request-Headers": "content-type,x-goog-api-client,authorization,content-encoding"}
        for path in (f"{ANALYZE}?key={TOKEN}", "/predict"):
            reply = server.ask("OPTIONS", path, None, PREFLIGHT | wanted)
            assert (reply.status, allowed(reply)) == (200, PAGE)
            assert "POST" in reply.headers["access-control-allow-methods"]
            assert set(wanted["Access-Control-Request-Headers"].split(",")) <= set(
                reply.headers["access-control-allow-headers"].split(",")
            )
            assert "Origin" in reply.headers["vary"]
        refused = server.ask("OPTIONS", "/predict", None, PREFLIGHT | {"Origin": "https://evil.example"})
        assert (refused.status, allowed(refused)) == (400, None)
        wait_until(lambda: server.count("/predict", 400) == 1)
        assert post(server, "/predict").headers["access-control-allow-origin"] == PAGE
        assert allowed(post(server, "/predict", "https://evil.example")) is None


def test_a_browser_can_read_errors_and_when_to_come_back() -> None:
    with serving(http_token=TOKEN, http_allowed_origins=PAGE, http_max_request_bytes=2_048) as server:
        replies = {
            401: post(server, "/predict", Authorization="Bearer wrong"),
            404: post(server, "/nothing"),
            405: server.ask("GET", "/predict", None, {"Origin": PAGE}),
            413: post(server, "/predict", body=b" " * 4_096),
            415: post(server, "/predict", **{"Content-Encoding": "br"}),
            422: post(server, "/predict", body=b"{}"),
        }
        assert {status: reply.status for status, reply in replies.items()} == {status: status for status in replies}
        assert {allowed(reply) for reply in replies.values()} == {PAGE}
        assert {reply.headers["vary"] for reply in replies.values()} == {"Origin"}
        assert "Retry-After" in replies[401].headers["access-control-expose-headers"]
    with serving(loading=True, http_token=TOKEN, http_allowed_origins=PAGE) as loading:
        early = post(loading, "/predict")
        assert (early.status, allowed(early), early.headers["retry-after"]) == (503, PAGE, "5")


def test_a_fault_of_the_server_can_be_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_body: bytes) -> list[str]:
        raise ValueError

    monkeypatch.setattr("consumer.http.predict.texts_of", broken)
    with serving(http_token=TOKEN, http_allowed_origins=PAGE) as server:
        assert (reply := post(server, "/predict")).status == 500
        assert allowed(reply) == PAGE


def test_all_pages_may_call_where_a_token_guards_the_server() -> None:
    with serving(http_token=TOKEN, http_allowed_origins="*") as server:
        assert allowed(server.ask("OPTIONS", ANALYZE, None, PREFLIGHT)) == "*"
        reply = post(server, "/predict", "https://any.example")
        assert (reply.status, allowed(reply)) == (200, "*")


def test_no_page_may_unless_it_is_named() -> None:
    with serving(http_token=TOKEN) as server:
        reply = server.ask("OPTIONS", "/predict", None, PREFLIGHT)
        assert (reply.status, allowed(reply)) == (405, None)
        assert allowed(post(server, "/predict")) is None


def test_a_preflight_smuggles_nothing() -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in PREFLIGHT.items()).encode()
    with serving(http_token=TOKEN, http_allowed_origins=PAGE) as server:
        both = headers + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        told = talk(server, request(headers=both, body=b"0\r\n\r\n", method=b"OPTIONS"))
        assert (told.statuses, told.ended) == ([400], True)
