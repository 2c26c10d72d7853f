"""Opening, closing and showing the server: its port, the process's signals, its documents and its metrics."""

import asyncio
import logging
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from consumer.health import Vital
from consumer.http.server import open_server
from consumer.services import open_services
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from schemas import Prediction
from tests.http_serving import Server, callers, free_port, serving, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_a_port_in_use_is_a_fault_of_the_settings_and_the_first_server_goes_on(server: Server) -> None:
    with ExitStack() as stack, pytest.raises(SettingsError, match=f"HTTP_PORT={server.port} is in use"):
        open_server(server.settings, server.services, stack)
    assert server.get("/healthz").status == 200


def test_the_process_keeps_its_signals() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    settings = Settings(http_port=free_port())
    with ExitStack() as stack:
        open_server(settings, open_services(settings, lambda: False, stack, has_server=True), stack)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_after_closing_the_port_is_free_again() -> None:
    settings = Settings(http_port=free_port())
    for _ in range(2):
        with ExitStack() as stack:
            open_server(settings, open_services(settings, lambda: False, stack, has_server=True), stack)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", settings.http_port), timeout=10)


class Slow:
    """A predictor that answers `takes_s` after it was asked."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.asked = False

    async def predict(self, _texts: Sequence[str], _timeout_s: float) -> list[Prediction]:
        self.asked = True
        await asyncio.sleep(self.takes_s)
        return []


@pytest.mark.parametrize(("takes_s", "status"), [(1, 200), (1_000, 503)])
def test_closing_waits_for_requests_in_flight_within_the_shutdown_timeout(takes_s: float, status: int) -> None:
    slow = Slow(takes_s)
    with callers(1) as pool, serving(shutdown_timeout_s=2) as server, capture_logs() as logs:
        server.services.predictor = slow  # type: ignore[assignment]
        reply = pool.submit(server.predict, "Lovely!")
        wait_until(lambda: slow.asked)
        server.begin_to_stop()
        assert reply.result().status == status
        assert not [entry for entry in logs if entry["event"] == "http_failed"]


def test_idle_connections_do_not_hold_up_the_end() -> None:
    with serving(shutdown_timeout_s=600) as server:
        idle, half = server.connect(), server.connect()
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: ")
        assert server.get("/healthz").status == 200
    idle.close()
    half.close()


def test_metrics_come_in_the_format_that_is_asked_for(server: Server) -> None:
    plain = server.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert b"\nmoderation_http_waiting_texts 0.0\n" in plain.body
    openmetrics = server.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_is_answered_for_those_who_only_look(server: Server, path: str) -> None:
    reply = server.ask("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_person_who_opens_the_address_is_led_to_the_documents(server: Server, method: str) -> None:
    reply = server.ask(method, "/")
    assert (reply.status, reply.headers["location"]) == (307, "docs")


def test_the_documents_and_all_they_load_come_from_this_server(server: Server) -> None:
    page = server.get("/docs").body.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)|url: '([^']+)""", page)
    loaded = [one or other for one, other in addresses]
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith("/")
        assert server.get(address).status == 200


def test_the_description_lists_every_route_with_its_errors(server: Server) -> None:
    described = server.get("/openapi.json").body
    assert {"/predict", "/v1alpha1/comments:analyze", "/healthz", "/readyz", "/metrics"} <= described["paths"].keys()
    predict = described["paths"]["/predict"]["post"]
    assert {"200", "401", "403", "413", "422", "429", "503", "504"} <= predict["responses"].keys()
    asked = predict["requestBody"]["content"]["application/json"]["schema"]
    assert asked["properties"].keys() == {"text", "texts"}
    answered = described["components"]["schemas"]["Prediction"]["properties"]
    assert {"tags", "decision", "model", "policy", "answered_by", "truncated"} <= answered.keys()
    assert "HTTPValidationError" not in described["components"]["schemas"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/predict", 405)])
def test_what_there_is_not_is_an_error_of_the_usual_shape(server: Server, method: str, path: str, status: int) -> None:
    reply = server.ask(method, path)
    assert reply.status == reply.body["error"]["code"] == status


def test_an_error_of_the_servers_own_is_logged_without_what_it_says(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    text = "a secret text"
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    assert "ValueError" in caplog.text
    assert "test_http_server.py" in caplog.text
    assert text not in caplog.text


def test_health_can_be_asked_before_anything_is_watched() -> None:
    settings = Settings(http_port=free_port())
    with ExitStack() as stack:
        services = open_services(settings, lambda: False, stack, has_server=True)
        services.health.watch(lambda: [Vital("model", alive=False, moved_at_s=0.0)])
        open_server(settings, services, stack)
        with socket.create_connection(("127.0.0.1", settings.http_port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")  # it is only starting
