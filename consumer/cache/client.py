"""Redis itself, by redis-py: one MGET per batch, one pipeline of SETs per batch."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import redis
from redis._parsers import _HiredisParser  # the one that redis-py takes by itself where hiredis is installed
from redis.backoff import NoBackoff
from redis.retry import Retry

from consumer.errors import ReaderError

SOCKET_TIMEOUT_S = 1.0
"""Longer than a batch waits for Redis: a connection that is slow to make (TLS, another zone) serves the next batch."""

KEYS_PER_COMMAND = 1_000
"""Redis does one command at a time; a larger one would keep the other members waiting."""

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""A whole command's 1,000 answers of 4,000 scores each, as many as no model here has."""


class OversizedReplyError(redis.RedisError):
    """Redis said more than all answers that were asked for can be."""


class BoundedParser(_HiredisParser):
    """Gives up on a reply beyond `MAX_REPLY_BYTES`, and the connection with it: a value may have 512 MB, and somebody
    who writes one under a key of ours would end every member that asks for it."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one reply."""
        self._received_bytes = 0
        return super().read_response(*args, **options)

    def read_from_socket(self, *args: Any, **options: Any) -> bool:
        """Read what has come of the reply; raises OversizedReplyError."""
        before = self._reader.len()
        came: bool = super().read_from_socket(*args, **options)  # type: ignore[no-untyped-call]
        self._received_bytes += self._reader.len() - before
        if self._received_bytes > MAX_REPLY_BYTES:
            raise OversizedReplyError
        return came


class RedisStore:
    """Values in Redis under `url`, each for `ttl_s`. Connects when first used; one thread at a time.

    Raises ReaderError when `url` is not a Redis URL; its methods raise what redis-py raises.
    """

    def __init__(self, url: str, ttl_s: int) -> None:
        self._ttl_s = ttl_s
        try:
            self._client = redis.Redis.from_url(
                url,
                parser_class=BoundedParser,
                protocol=2,  # needs no greeting, so a new connection costs one round trip less
                driver_info=None,  # likewise
                retry=Retry(NoBackoff(), 0),  # the circuit breaker decides when to try again
                socket_timeout=SOCKET_TIMEOUT_S,
                socket_connect_timeout=SOCKET_TIMEOUT_S,
                socket_keepalive=True,
            )
            self._client.connection_pool.make_connection()  # connects to nothing, and refuses unknown parameters
        except (ValueError, TypeError, redis.RedisError):
            # The error may quote a part of the password.
            raise ReaderError(
                "REDIS_URL is not a Redis URL: write redis://[user:password@]host:port/db with special characters of "
                "the password percent-encoded, and for TLS rediss://… with parameters such as "
                "?ssl_ca_certs=/path/ca.pem that redis-py knows."
            ) from None

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those `keys` that have one."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), KEYS_PER_COMMAND):
            chunk = keys[start : start + KEYS_PER_COMMAND]
            values = self._client.mget(chunk)
            found.update((key, value) for key, value in zip(chunk, values, strict=True) if isinstance(value, bytes))
        return found

    def write(self, values: Mapping[bytes, bytes]) -> None:
        """Keep `values`; those before an error may have been written."""
        items = iter(values.items())
        while chunk := list(islice(items, KEYS_PER_COMMAND)):
            pipeline = self._client.pipeline(transaction=False)
            for key, value in chunk:
                pipeline.set(key, value, ex=self._ttl_s)
            pipeline.execute()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
