"""Tokens for OAUTHBEARER that nobody signed, and that a test's broker takes all the same."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

LIFE_S = 3.0
FAILS_AT = 5
SECRET = "hunter2-of-the-service"

calls: list[float] = []
"""When `failing_once` was called."""


def token() -> tuple[str, float]:
    """For the user `member`."""
    now_s = time.time()
    claims = {"sub": "member", "iat": now_s, "exp": now_s + LIFE_S}
    parts = (_base64({"alg": "none"}), _base64(claims), "")
    return ".".join(parts), now_s + LIFE_S


def failing_once() -> tuple[str, float]:
    """A token, but not at one of its calls."""
    calls.append(time.time())
    if len(calls) == FAILS_AT:
        raise RuntimeError(SECRET)
    return token()


@contextmanager
def token_service() -> Iterator[str]:
    """An identity provider that gives everybody a token; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps({"access_token": token()[0], "token_type": "Bearer", "expires_in": LIFE_S}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        server.server_close()


def _base64(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
