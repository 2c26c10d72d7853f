"""What can be done to a Redis."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.redis_proxy import RedisProxy
from tests.redis_server import RedisServer

EVERY_S = 0.2


class Harm(NamedTuple):
    """`do` it for some seconds, then mend it. `opens` is the circuit that must open; "" where answers are only gone."""

    name: str
    do: Callable[[RedisServer, RedisProxy, float], None]
    opens: str = ""


def _nothing(_redis: RedisServer, _proxy: RedisProxy, for_s: float) -> None:
    time.sleep(for_s)


def _stop(redis: RedisServer, _proxy: RedisProxy, for_s: float) -> None:
    redis.kill()
    time.sleep(for_s)
    redis.start()


def _slow(_redis: RedisServer, proxy: RedisProxy, for_s: float) -> None:
    proxy.delay_s = 2.0
    time.sleep(for_s)
    proxy.delay_s = 0.0


def _fill(redis: RedisServer, _proxy: RedisProxy, for_s: float) -> None:
    """Emptied first, so that there are answers to write."""
    with redis.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.flushall()
        client.config_set("maxmemory", 1)
        time.sleep(for_s)
        client.config_set("maxmemory", 0)


def _flush(redis: RedisServer, _proxy: RedisProxy, for_s: float) -> None:
    with redis.client() as client:
        for _ in range(int(for_s / EVERY_S)):
            client.flushall()
            time.sleep(EVERY_S)


def _corrupt(redis: RedisServer, _proxy: RedisProxy, for_s: float) -> None:
    """Every value: other bytes, cut, zeros, another version, another key's answer, another type."""
    chance = random.Random(6)
    with redis.client() as client:
        for _ in range(int(for_s / EVERY_S)):
            keys = list(client.scan_iter(match="moderate:*"))
            values = [value for value in client.mget(keys) if value] if keys else []
            for key in keys:
                value = chance.choice(values or [b"nonsense"])
                spoilt = (value, value[:-1], chance.randbytes(len(value)), bytes(len(value)), b"\xff" + value[1:])
                client.delete(key)
                if chance.random() < 0.1:
                    client.rpush(key, "a list")
                else:
                    client.set(key, chance.choice(spoilt))
            time.sleep(EVERY_S)


HARMS = (
    Harm("well", _nothing),
    Harm("stopped", _stop, opens="reads and writes"),
    Harm("slowed", _slow, opens="reads and writes"),
    Harm("filled", _fill, opens="writes"),
    Harm("flushed", _flush),
    Harm("corrupted", _corrupt),
    Harm("well again", _nothing),
)
