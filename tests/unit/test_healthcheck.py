"""The image's HEALTHCHECK, run as the image runs it."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[2] / "deploy/healthcheck.py")
Serve = Callable[[int, str], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server whose /healthz answers that status and body; returns its port."""
    servers = []

    def start(status: int, body: str) -> int:
        class Health(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check(**environment: str) -> tuple[int, str]:
    command = [sys.executable, "-I", "-S", SCRIPT]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    return result.returncode, result.stdout


def test_a_server_that_is_well_is_healthy(serve: Serve) -> None:
    port = str(serve(200, '{"status":"ok"}'))
    assert check(HTTP_HOST="0.0.0.0", HTTP_PORT=port) == (0, '{"status":"ok"}\n')  # noqa: S104


def test_what_a_failing_server_says_is_kept(serve: Serve) -> None:
    port = str(serve(503, '{"status":"failing","problems":{"publish":"the stage has ended"}}'))
    code, said = check(HTTP_HOST="127.0.0.1", HTTP_PORT=port)
    assert code == 1
    assert "the stage has ended" in said


def test_a_proxy_for_the_outside_is_not_asked(serve: Serve) -> None:
    nobody = "http://127.0.0.1:9"
    environment = {"HTTP_PROXY": nobody, "http_proxy": nobody, "HTTP_PORT": str(serve(200, "ok"))}
    assert check(**environment) == (0, "ok\n")


def test_a_server_that_is_gone_is_unhealthy_and_named() -> None:
    code, said = check(HTTP_HOST="0.0.0.0", HTTP_PORT="9")  # noqa: S104
    assert code == 1
    assert said.startswith("/healthz of 0.0.0.0 port 9 did not answer: ")


def test_a_container_without_a_server_has_nobody_to_ask() -> None:
    assert check(HTTP_PORT="0") == (0, "HTTP_PORT is 0: not asked.\n")
    assert check()[0] == 0
