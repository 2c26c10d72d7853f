"""Whoever can write to Redis, and knows everything but CACHE_SECRET, decides nothing; a real redis-server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis
from pydantic import SecretStr

from consumer.answer import Answer
from consumer.cache import AnswerCodec, key_function
from consumer.caching import open_cache
from consumer.loading import make_judge
from consumer.policy import Policy
from consumer.services import open_services, share_model
from consumer.settings import Settings
from schemas import Prediction
from tests.fakes import TAG_GROUPS, WordEngine
from tests.redis_server import RedisServer, running_redis

SECRET = "a secret of more than sixteen characters"
REJECTED = "an awful text"
ALLOWED = "a nice text"
CLEAN = Answer((0.0, 0.0, 1.0, 0.0), False)
"""What the forger wants to be believed: as positive, and as little toxic, as can be."""

RIGHT = ["reject", "allow"]

Tag = Callable[[str], list[Prediction]]
Forge = Callable[["redis.Redis", list[bytes]], None]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def tag(server: RedisServer) -> Tag:
    """What a new member, with nothing in its memory, makes of both texts; put together as `moderate serve` does."""

    def tag(secret: str) -> list[Prediction]:
        settings = Settings(redis_url=SecretStr(server.url), cache_secret=SecretStr(secret), cache_timeout_ms=30_000)
        engine = WordEngine()
        with ExitStack() as stack:
            services = open_services(settings, lambda: False, stack)
            cache = open_cache(settings, engine, services)
            stack.callback(cache.close)
            cache_key = key_function(engine.fingerprint, secret)
            share_model(settings, services, engine, cache, cache_key, make_judge(engine, Policy()), stack)
            assert services.predictor
            return asyncio.run(services.predictor.predict([REJECTED, ALLOWED], timeout_s=60))

    return tag


def forge(secret: str) -> Forge:
    """Write that all texts are clean, as a member with this secret would; the keys are known from looking at Redis."""

    def write(client: "redis.Redis", keys: list[bytes]) -> None:
        codec = AnswerCodec(TAG_GROUPS.score_count, secret, TAG_GROUPS.competing)
        for key in keys:
            client.set(key, codec.encode(key, CLEAN))

    return write


def exchange(client: "redis.Redis", keys: list[bytes]) -> None:
    """Put each text's value under the other's key."""
    client.rename(keys[0], "aside")
    client.rename(keys[1], keys[0])
    client.rename("aside", keys[1])


def replay_of_another_model(client: "redis.Redis", keys: list[bytes]) -> None:
    """Put what a model before this one, in a group with the same secret, said of the same text."""
    codec = AnswerCodec(TAG_GROUPS.score_count, SECRET, TAG_GROUPS.competing)
    for text, key in zip((REJECTED, ALLOWED), keys, strict=True):
        client.set(key, codec.encode(key_function("another model", SECRET)(text), CLEAN))


def flip_bits(client: "redis.Redis", keys: list[bytes]) -> None:
    """Set the toxic score, and nothing else, to zero."""
    for key in keys:
        client.setrange(key, 2 + 3 * 4, bytes(4))


def actions(predictions: list[Prediction]) -> list[str]:
    return [prediction.decision.action for prediction in predictions]


def answered_by(predictions: list[Prediction]) -> set[str]:
    return {prediction.answered_by for prediction in predictions}


@pytest.mark.parametrize(
    "attack",
    [forge(""), forge("a guess"), exchange, replay_of_another_model, flip_bits],
    ids=["no secret", "a wrong secret", "each other's values", "another model's values", "a score set to zero"],
)
def test_with_a_secret_nothing_written_by_others_changes_a_decision(
    attack: Forge, server: RedisServer, tag: Tag
) -> None:
    assert actions(tag(SECRET)) == RIGHT
    assert answered_by(tag(SECRET)) == {"redis"}
    key = key_function(WordEngine.fingerprint, SECRET)
    attack(server.client(), [key(REJECTED), key(ALLOWED)])
    again = tag(SECRET)
    assert actions(again) == RIGHT
    assert answered_by(again) == {"model"}


def test_without_a_secret_whoever_writes_redis_decides_as_the_warning_says(server: RedisServer, tag: Tag) -> None:
    assert actions(tag("")) == RIGHT
    forge("")(server.client(), list(server.client().scan_iter()))
    assert actions(tag("")) == ["allow", "allow"]


def test_members_with_different_secrets_only_miss_what_the_others_know(tag: Tag) -> None:
    tag("the secret of one member")
    found = tag("the secret of another member")
    assert actions(found) == RIGHT
    assert answered_by(found) == {"model"}
