"""HTTP byte by byte, for what no client library sends."""

import socket
from contextlib import suppress
from typing import NamedTuple

from tests.http_serving import Server

BODY = b'{"text": "Lovely!"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
"""With the last request, so that nobody waits for the server's patience to see that no more comes."""
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


class Talk(NamedTuple):
    """The status of each answer, all that came, and whether the server has ended the connection."""

    statuses: list[int]
    raw: bytes
    ended: bool


def request(target: bytes = b"/predict", headers: bytes = LENGTH, body: bytes = BODY, method: bytes = b"POST") -> bytes:
    """A request to localhost."""
    return b"%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s" % (method, target, headers, body)


def get(target: bytes, headers: bytes = b"") -> bytes:
    """A GET of it."""
    return request(target, headers, b"", b"GET")


def talk(server: Server, sent: bytes, quiet_s: float = 2.0) -> Talk:
    """Send it on a connection of its own, and take what comes until nothing does for `quiet_s`."""
    with server.connect() as connection:
        connection.settimeout(quiet_s)
        with suppress(ConnectionError):  # it may end the connection while there is more to send
            connection.sendall(sent)
        return listen_to(connection)


def listen_to(connection: socket.socket) -> Talk:
    """What comes until the server ends the connection, or nothing does for the connection's timeout."""
    raw = b""
    ended = True
    try:
        while more := connection.recv(65_536):
            raw += more
    except TimeoutError:
        ended = False
    except ConnectionError:
        pass
    lines = [line.partition(b"HTTP/1.1 ")[2] for line in raw.splitlines() if b"HTTP/1.1 " in line]
    return Talk([int(line[:3]) for line in lines if line[:3].isdigit()], raw, ended)
