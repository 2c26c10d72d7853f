"""What stands before every route: who may send, how much, and whether they still wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumer.http.callers import OPERATION, SAFE_METHODS, Callers
from consumer.http.connections import OVER_LIMIT
from consumer.http.errors import ApiError
from consumer.http.heads import check_head, header
from consumer.http.unpacking import unpacking
from consumer.settings import Settings

BODY_TIMEOUT_S = 30.0
"""4 MiB in this time is 1.1 Mbit/s; slower callers would hold memory for nothing."""
MAX_HELD_BODIES = 16
"""Bodies of the largest size that may be in memory at once, 64 MiB by default, whatever the number of callers."""
MOST_DIGITS = 20
"""Of a Content-Length: Python refuses to read numbers of thousands of digits."""


class Guard:
    """Lets a request with a body through when its caller may send it and it is not too large, with its body read; ends
    it when its caller goes away, so that texts nobody waits for are not classified.

    The caller is looked at before the body is. Owned by the event loop's thread.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, loopback: bool) -> None:
        """`loopback`: nobody but this machine can reach the server."""
        self._app = app
        self._callers = Callers(settings, loopback=loopback)
        self._bodies = _Bodies(settings.http_max_request_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `ApiError` when it is refused."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        check_head(scope)
        if scope["state"].get(OVER_LIMIT) and not (scope["method"] in SAFE_METHODS and scope["path"] in OPERATION):
            raise ApiError(
                503,
                "As many connections as HTTP_MAX_CONNECTIONS allows wait for answers already; try again later.",
                retry_after_s=1,
            )
        self._callers.check(scope)
        if scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        async with self._bodies.read(scope, receive) as body:
            if body is not None:
                await _while_caller_waits(self._app, scope, body, receive, send)


class _Bodies:
    """Knows how much of them is in memory. Owned by the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` is the largest body, packed and unpacked."""
        self._max_bytes = max_bytes
        self._held_bytes = 0

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes | None]:
        """The body of a request, which counts as held until the end; None where the caller has gone. Raises
        `ApiError`."""
        length = header(scope, b"content-length")
        if length.isdigit() and int(length[:MOST_DIGITS]) > self._max_bytes:
            raise self._too_large()
        pieces: list[bytes] = []
        try:
            yield b"".join(pieces) if await self._collect(scope, receive, pieces) else None
        finally:
            self._held_bytes -= sum(map(len, pieces))

    async def _collect(self, scope: Scope, receive: Receive, pieces: list[bytes]) -> bool:
        """Read the body into `pieces`; says whether the caller is still there."""
        body = unpacking(header(scope, b"content-encoding"))
        came_bytes = size_bytes = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while (message := await receive())["type"] == "http.request":
                    chunk = message.get("body", b"")
                    came_bytes += len(chunk)
                    for piece in body.pieces(chunk):
                        size_bytes += len(piece)
                        self._hold(piece, max(came_bytes, size_bytes), pieces)
                    if came_bytes > self._max_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        body.end()
                        return True
        except TimeoutError:
            raise ApiError(
                408, f"The request's body took longer than {BODY_TIMEOUT_S:.0f} s; send it faster."
            ) from None
        return False

    def _hold(self, piece: bytes, size_bytes: int, pieces: list[bytes]) -> None:
        if size_bytes > self._max_bytes:
            raise self._too_large()
        if self._held_bytes + len(piece) > MAX_HELD_BODIES * self._max_bytes:
            raise ApiError(429, "Too many large requests at once; try again later.", retry_after_s=1)
        self._held_bytes += len(piece)
        pieces.append(piece)

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The request's body is larger than {self._max_bytes:,} bytes (HTTP_MAX_REQUEST_BYTES), unpacked where it "
            "is gzip; send fewer texts.",
        )


async def _while_caller_waits(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run `app` with a body that has been read, until it is done or its caller has gone away."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    work = asyncio.current_task()
    gone = False

    async def replayed() -> Message:
        return unread.pop() if unread else await receive()

    async def watch() -> None:
        nonlocal gone
        await receive()  # after the body nothing comes but the disconnect
        gone = True
        if work is not None:
            work.cancel()

    watching = asyncio.create_task(watch())
    try:
        await app(scope, replayed, send)
    except asyncio.CancelledError:
        if not gone or work is None:
            raise
        work.uncancel()
    finally:
        watching.cancel()
