"""Connections whose callers send nothing or read nothing are closed, so that they cannot use up all that a process may
open."""

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from consumer.http.errors import ApiError
from consumer.http.room import Room

HEADERS_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 75
"""Above the 60 s after which usual load balancers give up an idle connection: else this side may close one in the very
moment in which the other sends a request on it, which comes out as 502."""
WRITE_TIMEOUT_S = 30.0
WRITE_LEAST_BYTES = 65_536
"""A caller reads so much of an answer, or all of it, in WRITE_TIMEOUT_S, or is given up."""
READ_BYTES = 8_192
"""Read at once: in asyncio's 256 KiB fit 43,000 chunks of one byte, for which every other caller waited 1.6 s."""
OVER_LIMIT = "over_limit"
"""In a request's state: it may ask for health and metrics alone."""
NOT_HTTP = (
    "This is no request of HTTP/1.1 as RFC 9112 has it; or its head is larger than 16 KiB, or says by both "
    "Content-Length and Transfer-Encoding where it ends."
)


class StrictConnection(h11.Connection):
    """Refuses requests whose end a proxy before this server may see elsewhere; h11 lets Transfer-Encoding win."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises `RemoteProtocolError` for such a request."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
                raise h11.RemoteProtocolError("two lengths")
        return event


class ImpatientProtocol(H11Protocol):
    """uvicorn's, which by itself waits without end for the headers of a request, and for an answer to be read."""

    room: ClassVar[Room]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self.conn = StrictConnection(h11.SERVER)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        transport.set_write_buffer_limits(high=0)  # so that `pause_writing` says that something is unread
        self._reader: asyncio.TimerHandle | None = None
        self._patience = self.loop.call_later(HEADERS_TIMEOUT_S, self._lose_patience)
        self.app_state = {OVER_LIMIT: not self.room.enter(self)}

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    @property
    def held_up(self) -> bool:
        """Whether the caller is waited for: to send a body, or to read an answer."""
        return self.flow.write_paused or (self.cycle is not None and self.cycle.more_body)

    def drop(self) -> None:
        """End the connection at once; closing it would wait for a caller who reads nothing."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Wait as long as for any next request, once the rest of a body is there whose request has been answered."""
        ignored = self._ignores_a_body()
        super().data_received(data)
        if ignored and not self._ignores_a_body():
            self._wait_for_next()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn itself closes the connection when nothing at all comes."""
        super().on_response_complete()
        self.room.answered(self)
        self._wait_for_next()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's
        """Say that what came is no request, where an answer can be begun, and end the connection."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering:
            self.cycle.disconnected = True  # else its answer would come after this one, which is a fault in the log
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = ApiError(400, NOT_HTTP, headers={"Connection": "close"}).response()
            head = h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request")
            body = b"" if answering and self.scope["method"] == "HEAD" else bytes(answer.body)
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        """Give the caller some time to read."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """All has been read, or is underway."""
        super().resume_writing()
        self._forget_reader()

    def connection_lost(self, error: Exception | None) -> None:
        """Wait for nothing more."""
        self._patience.cancel()
        self._forget_reader()
        self.room.leave(self)
        super().connection_lost(error)

    def _ignores_a_body(self) -> bool:
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _wait_for_next(self) -> None:
        self._patience.cancel()
        wait_s = HEADERS_TIMEOUT_S if self._ignores_a_body() else KEEP_ALIVE_S + HEADERS_TIMEOUT_S
        self._patience = self.loop.call_later(wait_s, self._lose_patience)

    def _lose_patience(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.drop()

    def _wait_for_reader(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        self._reader = self.loop.call_later(WRITE_TIMEOUT_S, self._look_at_reader, unread_bytes)

    def _look_at_reader(self, unread_bytes: int) -> None:
        if unread_bytes - self.transport.get_write_buffer_size() < WRITE_LEAST_BYTES:
            self.drop()
        else:
            self._wait_for_reader()

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()


def protocol_in(room: Room) -> type[ImpatientProtocol]:
    """The protocol whose connections share `room`; uvicorn makes them itself, so it wants a class."""
    return type("RoomedProtocol", (ImpatientProtocol,), {"room": room})
