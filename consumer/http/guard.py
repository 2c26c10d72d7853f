"""What stands before every route that takes texts: who may send, how much, and whether they still wait."""

import asyncio
import hmac

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumer.http.errors import ApiError
from consumer.http.perspective import key_of
from consumer.settings import Settings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""They bring no texts, so they need no token: health, metrics and documents."""
BODY_TIMEOUT_S = 30.0
"""4 MiB in this time is 1.1 Mbit/s; slower callers would hold memory for nothing."""
MAX_HELD_BODIES = 16
"""Bodies of the largest size that may be in memory at once, 64 MiB by default, whatever the number of callers."""


MOST_DIGITS = 20
"""Of a Content-Length: Python refuses to read numbers of thousands of digits."""


class Guard:
    """Lets a request with a body through when it has the token and is not too large, with its body read; ends it when
    its caller goes away, so that texts nobody waits for are not classified.

    The token is looked at before the body is. Owned by the event loop's thread.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, loopback: bool) -> None:
        """`loopback`: nobody but this machine can reach the server."""
        self._app = app
        self._token = settings.http_token.get_secret_value().encode()
        self._open = loopback and not self._token
        self._max_bytes = settings.http_max_request_bytes
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `ApiError` when it is refused."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        self._check_token(headers.get(b"authorization", b""), key_of(scope))
        self._check_size(headers.get(b"content-length", b""))
        chunks: list[bytes] = []
        try:
            if await self._read(receive, chunks):
                await _while_caller_waits(self._app, scope, b"".join(chunks), receive, send)
        finally:
            self._held_bytes -= sum(map(len, chunks))

    def _check_token(self, authorization: bytes, key: bytes) -> None:
        if self._open:
            return
        if not self._token:
            raise ApiError(
                403,
                "This server can be reached from other machines (HTTP_HOST) and has no token, so it takes no texts. "
                "Set HTTP_TOKEN, or HTTP_TOKEN_FILE; or listen on 127.0.0.1 only.",
            )
        scheme, _, token = authorization.partition(b" ")
        offered = token.strip() if scheme.lower() == b"bearer" else key
        if hmac.compare_digest(offered, self._token):
            return
        raise ApiError(
            401,
            "The token is not this server's HTTP_TOKEN."
            if offered
            else "Send the header `Authorization: Bearer TOKEN` with this server's HTTP_TOKEN; clients of the "
            "Perspective API may send it as `key`.",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"' if offered else "Bearer"},
        )

    def _check_size(self, content_length: bytes) -> None:
        if content_length.isdigit() and int(content_length[:MOST_DIGITS]) > self._max_bytes:
            raise self._too_large()

    async def _read(self, receive: Receive, chunks: list[bytes]) -> bool:
        """Read the body into `chunks`; says whether the caller is still there."""
        size = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while (message := await receive())["type"] == "http.request":
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self._max_bytes:
                        raise self._too_large()
                    if self._held_bytes + len(chunk) > MAX_HELD_BODIES * self._max_bytes:
                        raise ApiError(429, "Too many large requests at once; try again later.", retry_after_s=1)
                    self._held_bytes += len(chunk)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            raise ApiError(
                408, f"The request's body took longer than {BODY_TIMEOUT_S:.0f} s; send it faster."
            ) from None
        return False

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The request's body is larger than {self._max_bytes:,} bytes (HTTP_MAX_REQUEST_BYTES); send fewer texts.",
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
