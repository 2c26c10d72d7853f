"""Answers to texts seen before: memory in front of Redis. All that knows Redis is in here."""

from consumer.cache.answers import AnswerCache
from consumer.cache.client import RedisStore
from consumer.cache.codec import AnswerCodec
from consumer.cache.keys import key_function
from consumer.cache.shared import SharedCache

__all__ = ["AnswerCache", "AnswerCodec", "RedisStore", "SharedCache", "key_function"]
