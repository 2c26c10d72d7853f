"""Connections on which no request comes are closed, so that slow callers cannot use up all that a process may open."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 75
"""Above the 60 s after which usual load balancers give up an idle connection: else this side may close one in the very
moment in which the other sends a request on it, which comes out as 502."""


class ImpatientProtocol(H11Protocol):
    """uvicorn's, which by itself waits for the headers of a request without end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEADERS_TIMEOUT_S, self._lose_patience)

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn itself closes the connection when nothing at all comes."""
        super().on_response_complete()
        self._patience.cancel()
        self._patience = self.loop.call_later(KEEP_ALIVE_S + HEADERS_TIMEOUT_S, self._lose_patience)

    def connection_lost(self, error: Exception | None) -> None:
        """Wait for nothing more."""
        self._patience.cancel()
        super().connection_lost(error)

    def _lose_patience(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()  # not close, which would wait for a caller that reads nothing
