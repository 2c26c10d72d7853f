"""Counts every request, and lets no error out but as an answer: the outermost layers of the application."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumer.http.connections import OVER_LIMIT
from consumer.http.errors import MODEL_RETRY_S, ApiError, as_api_error
from consumer.http.heads import header
from consumer.telemetry.logs import frames_of
from consumer.telemetry.metrics import Metrics

log = structlog.get_logger()

CALLER_WENT_AWAY = 499
"""nginx's status for it, known to those who read its logs; nobody receives it."""
OTHER_ROUTE = "other"
"""Whatever path a caller makes up: each would be a time series of its own."""


class Counting:
    """Counts requests by route and status."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Iterable[str]) -> None:
        """`routes` are the paths to be counted by name."""
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        began_s = time.perf_counter()
        status = CALLER_WENT_AWAY

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"]
        await self._app(scope, receive, noting_send)
        self._metrics.http_request(path if path in self._routes else OTHER_ROUTE, status, time.perf_counter() - began_s)


class Answering:
    """Answers for whatever raises inside, and ends the connection where it may not go on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises nothing."""
        begun = False
        last = scope["state"].get(OVER_LIMIT)

        async def noting_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if last:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        error: ApiError | None = None
        try:
            await self._app(scope, receive, noting_send)
        except asyncio.CancelledError:  # the server has waited for SHUTDOWN_TIMEOUT_S
            error = ApiError(503, "This process is ending; try another one.", retry_after_s=MODEL_RETRY_S)
        except ApiError as refusal:
            error = refusal
        except Exception as bug:
            log.error("http_bug", error=type(bug).__name__, frames=frames_of(bug))
            error = as_api_error(bug)
        if error is not None and not begun:
            # Who was not told to continue may send the body, or the next request in its place.
            last = last or header(scope, b"expect")
            await error.response()(scope, receive, noting_send)
