"""What is said at start about who else could write the shared cache."""

from contextlib import ExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumer.caching import LEAST_SECRET_CHARACTERS, open_cache
from consumer.services import open_services
from consumer.settings import Settings
from consumer.terminal.demo import demo_settings
from tests.fakes import WordEngine

NOBODY_THERE = "redis://127.0.0.1:1/0"
LONG = "s" * LEAST_SECRET_CHARACTERS


def said_at_start(settings: Settings) -> list[Any]:
    """The warnings about the secret when the cache is opened."""
    with capture_logs() as logs, ExitStack() as stack:
        cache = open_cache(settings, WordEngine(), open_services(settings, lambda: False, stack))
        cache.close()
    return [entry for entry in logs if "secret" in entry["event"]]


@pytest.mark.parametrize(("secret", "event"), [("", "cache_secret_missing"), (LONG[:-1], "cache_secret_short")])
def test_a_secret_that_is_missing_or_short_is_warned_of_in_plain_words(secret: str, event: str) -> None:
    [warning] = said_at_start(Settings(redis_url=NOBODY_THERE, cache_secret=secret))
    assert (warning["event"], warning["log_level"]) == (event, "warning")
    assert "decide what is allowed" in warning["meaning"]
    assert "CACHE_SECRET_FILE" in warning["remedy"]
    assert LONG[:-1] not in str(warning)


@pytest.mark.parametrize(("redis_url", "secret"), [("", ""), ("", "short"), (NOBODY_THERE, LONG)])
def test_without_redis_or_with_a_long_secret_nothing_is_said(redis_url: str, secret: str) -> None:
    assert said_at_start(Settings(redis_url=redis_url, cache_secret=secret)) == []


@pytest.mark.usefixtures("empty_directory")
def test_the_demo_gives_its_own_redis_a_secret_of_its_own() -> None:
    one, other = (demo_settings("127.0.0.1:1", NOBODY_THERE, built_in=True) for _ in range(2))
    assert said_at_start(one) == []
    assert one.cache_secret != other.cache_secret
