"""The answer cache, ready to be used: memory, and the Redis that the settings name."""

import structlog

from consumer.cache import AnswerCache, AnswerCodec, RedisStore, SharedCache
from consumer.loading import LoadedModel
from consumer.services import Services
from consumer.settings import Settings

log = structlog.get_logger()

LEAST_SECRET_CHARACTERS = 16
"""64 bits in hexadecimal digits; what is shorter can be guessed from a key and its text, without asking anybody."""


def open_cache(settings: Settings, engine: LoadedModel, services: Services) -> AnswerCache:
    """The cache of `engine`'s answers, which metrics and health watch; warns where others could write them too.

    Raises `ReaderError` when REDIS_URL is none.
    """
    groups = engine.tag_groups
    secret = settings.cache_secret.get_secret_value()
    codec = AnswerCodec(groups.score_count, secret, groups.competing)
    shared = None
    if url := settings.redis_url.get_secret_value():
        _warn_of_forgers(secret)
        shared = SharedCache(RedisStore(url, settings.cache_ttl_s), timeout_s=settings.cache_timeout_ms / 1000)
    cache = AnswerCache(settings.cache_memory_entries, codec, shared)
    services.metrics.watch_cache(cache)
    services.health.warn("cache", lambda: "" if cache.state in ("closed", "memory-only") else "works without Redis")
    return cache


def _warn_of_forgers(secret: str) -> None:
    """Say at start what a missing or a short CACHE_SECRET means; nothing else would ever tell."""
    remedy = "give all members the same CACHE_SECRET or CACHE_SECRET_FILE, made by: openssl rand -hex 32"
    if not secret:
        meaning = "whoever can write to this Redis can decide what is allowed"
        log.warning("cache_secret_missing", meaning=meaning, remedy=remedy)
    elif len(secret) < LEAST_SECRET_CHARACTERS:
        meaning = "whoever can read and write this Redis can guess CACHE_SECRET, and then decide what is allowed"
        log.warning("cache_secret_short", meaning=meaning, remedy=remedy)
