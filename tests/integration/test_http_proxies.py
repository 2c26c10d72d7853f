"""Behind proxies: what they say of the address outside is believed where they are trusted."""

import pytest

from tests.http_serving import Server, serving, wait_until

TRUSTED = {"http_trusted_proxies": "10.0.0.0/8, 127.0.0.1", "http_token": "0123456789abcdef"}
HOST = {"Host": "inside.example:8000"}


def root(server: Server, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = server.ask("GET", "/$discovery/rest", None, HOST | named)
    assert reply.status == 200
    url: str = reply.body["rootUrl"]
    return url


@pytest.fixture(scope="module")
def behind() -> Server:  # type: ignore[misc]
    with serving(**TRUSTED) as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, "http://inside.example:8000/"),
        ({"X_Forwarded_Proto": "https"}, "https://inside.example:8000/"),
        ({"X_Forwarded_Proto": "HTTPS"}, "https://inside.example:8000/"),
        ({"X_Forwarded_Proto": "https, http"}, "https://inside.example:8000/"),
        ({"X_Forwarded_Proto": " https ,http,http"}, "https://inside.example:8000/"),
        ({"X_Forwarded_Proto": "javascript"}, "http://inside.example:8000/"),
        ({"X_Forwarded_Proto": ""}, "http://inside.example:8000/"),
        ({"X_Forwarded_Host": "outside.example"}, "http://outside.example/"),
        ({"X_Forwarded_Host": "outside.example:444, inside.example"}, "http://outside.example:444/"),
        ({"X_Forwarded_Host": "[2001:db8::1]:444"}, "http://[2001:db8::1]:444/"),
        ({"X_Forwarded_Host": 'a"><script>'}, "http://inside.example:8000/"),
        ({"X_Forwarded_Host": "a/b@c"}, "http://inside.example:8000/"),
        ({"X_Forwarded_Prefix": "/moderation"}, "http://inside.example:8000/moderation/"),
        ({"X_Forwarded_Prefix": "/a/, /b"}, "http://inside.example:8000/a/b/"),
        ({"X_Forwarded_Prefix": "//evil.example"}, "http://inside.example:8000/"),
        ({"X_Forwarded_Prefix": "/a/../b"}, "http://inside.example:8000/"),
        ({"X_Forwarded_Prefix": '/"><script>'}, "http://inside.example:8000/"),
        ({"X_Forwarded_Prefix": "/" + "a" * 5_000 + "?"}, "http://inside.example:8000/"),
    ],
)
def test_a_trusted_proxy_says_where_callers_see_this_server(behind: Server, headers: dict[str, str], url: str) -> None:
    assert root(behind, **headers) == url


def test_a_header_in_several_lines_is_one_list(behind: Server) -> None:
    with behind.connect() as connection:
        connection.sendall(
            b"GET /$discovery/rest HTTP/1.1\r\nHost: inside\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n"
            b"Connection: close\r\n\r\n"
        )
        raw = b""
        while more := connection.recv(65_536):
            raw += more
    assert b'"rootUrl":"https://inside/"' in raw


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8, ::1"])
def test_nobody_else_says_so(trusted: str) -> None:
    with serving(http_trusted_proxies=trusted, http_token="0123456789abcdef") as server:
        forged = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
        assert root(server, **forged) == "http://inside.example:8000/"
        assert b"evil" not in server.get("/docs", **{name.replace("_", "-"): forged[name] for name in forged}).body


def test_ipv4_proxies_are_known_to_a_server_of_both_kinds_of_addresses() -> None:
    with serving(**TRUSTED, http_host="::") as server:
        assert root(server, X_Forwarded_Proto="https") == "https://inside.example:8000/"


@pytest.mark.parametrize("host", ['a"><script>alert(1)</script>', "a/../b", "evil.example/?", "a b", "-", ""])
def test_a_host_that_cannot_be_one_gets_into_no_document(behind: Server, host: str) -> None:
    url = root(behind, Host=host)
    assert url == f"http://127.0.0.1:{behind.port}/"


def test_the_documents_work_below_a_prefix(behind: Server) -> None:
    prefix = {"X-Forwarded-Prefix": "/docs"}  # also where it is a path of this server
    page = behind.get("/docs", **prefix).body.decode()
    assert "'/docs/openapi.json'" in page
    assert "/docs/docs/assets/swagger-ui.css" in page
    assert behind.get("/docs/assets/swagger-ui.css", **prefix).status == 200
    assert behind.get("/openapi.json", **prefix).body["servers"] == [{"url": "/docs"}]
    assert "servers" not in behind.get("/openapi.json").body, "another caller's prefix"
    assert behind.get("/", **prefix).headers["location"] == "docs"
    wait_until(lambda: behind.count("/docs", 200) == 1)
    assert behind.ask("POST", "/predict", b"{}", prefix).status == 401
