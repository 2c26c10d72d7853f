"""A running HTTP server for tests, in a thread, on a port of its own, and what a caller sees of it."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from consumer.answer import Answer, Unanswerable
from consumer.app import serve_with
from consumer.http.server import open_server
from consumer.policy import Policy
from consumer.services import Services, open_services
from consumer.settings import Settings
from tests import waiting
from tests.fakes import WordEngine

TIMEOUT_S = 60.0

wait_until = partial(waiting.wait_until, timeout_s=TIMEOUT_S)


class Reply(NamedTuple):
    """`body` is parsed where it is JSON, else as it came."""

    status: int
    headers: Mapping[str, str]
    body: Any


class HeldEngine(WordEngine):
    """Says when it has been given texts, so that a test knows that it is held up at its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        self.entered.set()
        return super().classify(model_texts)


class Server:
    """`moderate serve` with a `WordEngine`, in a thread; with `loading` the model comes only with `load()`."""

    def __init__(self, engine: WordEngine, *, loading: bool = False, **fields: Any) -> None:
        self.engine = engine
        self.settings = Settings(http_port=free_port(), **fields)
        self.port = self.settings.http_port
        self.services: Services
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._loaded = threading.Event()
        self._open = threading.Event()
        if not loading:
            self._loaded.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._open.wait(TIMEOUT_S), "the server did not open"
        if self.error is None and not loading:
            wait_until(lambda: self.get("/readyz").status == 200)

    def load(self) -> None:
        """Let the model be loaded."""
        self._loaded.set()
        wait_until(lambda: self.services.predictor is not None)

    def begin_to_stop(self) -> None:
        """What SIGTERM does."""
        self._stop.set()
        self._loaded.set()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the server did not end"

    @property
    def waiting_texts(self) -> int:
        """Texts that wait for the model."""
        assert self.services.batcher is not None
        return self.services.batcher.waiting_texts

    def count(self, route: str, status: int) -> float:
        """How many requests were answered so."""
        labels = {"route": route, "status": str(status)}
        return self.services.metrics.registry.get_sample_value("moderation_http_requests_total", labels) or 0

    def predict(self, *texts: str, **headers: str) -> Reply:
        """POST /predict; underscores in the names of headers stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/predict", json.dumps({"texts": texts}).encode(), named)

    def get(self, path: str, **headers: str) -> Reply:
        """GET `path`."""
        return self.ask("GET", path, None, headers)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own. A body that is an iterator goes out in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            return read_reply(connection)
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A connection on which nothing is sent yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                self.services = open_services(self.settings, self._stop.is_set, stack, has_server=True)
                open_server(self.settings, self.services, stack)
                self._open.set()
                self._loaded.wait()
                serve_with(self.settings, self.engine, Policy(), self._stop.is_set, self.services)
        except BaseException as error:
            self.error = error
        finally:
            self._open.set()


@contextmanager
def serving(engine: WordEngine | None = None, **fields: Any) -> Iterator[Server]:
    """A server that is stopped at the end and must not have failed; all settings but the port may be given."""
    server = Server(engine or WordEngine(), **fields)
    try:
        yield server
    finally:
        server.engine.gate.set()
        server.begin_to_stop()
        server.join()
    assert server.error is None, server.error


@contextmanager
def held_up(server: Server, engine: HeldEngine) -> Iterator[Future[Reply]]:
    """The model is held up by one caller, whose reply comes after this; whatever is sent meanwhile waits."""
    engine.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.predict, "the first")
        try:
            assert engine.entered.wait(TIMEOUT_S), "the first text did not reach the model"
            yield first
        finally:
            engine.gate.set()


@contextmanager
def callers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to ask from."""
    with ThreadPoolExecutor(count) as pool:
        yield pool


def read_reply(connection: http.client.HTTPConnection) -> Reply:
    """The answer to what was sent."""
    response = connection.getresponse()
    content = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    is_json = headers.get("content-type") == "application/json"
    return Reply(response.status, headers, json.loads(content) if is_json and content else content)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port
