"""A TCP proxy in front of Redis that can be slow."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

CHUNK_BYTES = 65_536


class RedisProxy(ThreadingTCPServer):
    """Passes bytes both ways; what a client sends is kept back for `delay_s`, which may change at any moment."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, server_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.server_port = server_port
        self.delay_s = 0.0
        self.url = f"redis://127.0.0.1:{self.server_address[1]}/0"


class _Connection(BaseRequestHandler):
    server: RedisProxy

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.server_port)) as redis:
            answers = threading.Thread(target=_pass_on, args=(redis, self.request), daemon=True)
            answers.start()
            with suppress(OSError):
                while chunk := self.request.recv(CHUNK_BYTES):
                    time.sleep(self.server.delay_s)
                    redis.sendall(chunk)
            redis.shutdown(socket.SHUT_WR)
            answers.join()


def _pass_on(redis: socket.socket, client: socket.socket) -> None:
    """Hand answers back until Redis or the client is gone; then the client sees the end, too."""
    with suppress(OSError):
        while chunk := redis.recv(CHUNK_BYTES):
            client.sendall(chunk)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


@contextmanager
def redis_proxy(server_port: int) -> Iterator[RedisProxy]:
    """A proxy for as long as the context lasts; it needs no Redis behind it, and refuses nobody while there is none."""
    with RedisProxy(server_port) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
