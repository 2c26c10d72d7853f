"""A collector for tests: takes spans by OTLP over HTTP, as the real one does, and keeps them."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What arrived, and how the next request is answered: with `status`, once `answers` is set."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        self.paths: list[str] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resource(self) -> dict[str, object]:
        return attributes(self.requests[0].resource_spans[0].resource.attributes)


def attributes(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """OTLP's list of key and typed value as a plain dict."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on loopback until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.paths.append(self.path)
            kept.answers.wait()
            if kept.status == 200:
                kept.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(kept.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Collector(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        kept.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()
