"""The files of /docs: each takes a descriptor beside its connection's for as long as its caller reads."""

from starlette.types import ASGIApp, Receive, Scope, Send

from consumer.http.errors import ApiError

MOST_DOWNLOADS = 16
"""At once; a browser loads four."""


class Downloads:
    """Lets few files be read at once. Owned by the event loop's thread."""

    def __init__(self, app: ASGIApp, *, path: str) -> None:
        """`path` is where the files are."""
        self._app = app
        self._path = path
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `ApiError` where too many files are being read."""
        if not scope["path"].startswith(self._path):
            await self._app(scope, receive, send)
            return
        if self._running >= MOST_DOWNLOADS:
            raise ApiError(503, "Too many callers read the documents at once; try again later.", retry_after_s=1)
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
