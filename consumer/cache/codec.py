"""Answers as bytes: 1 byte format version, 1 byte truncated, one little-endian float32 per score, 8 bytes checksum."""

import struct

from consumer.answer import Answer
from consumer.cache.keys import keyed_hash

FORMAT_VERSION = 1
CHECKSUM_BYTES = 8


class AnswerCodec:
    """Encodes and decodes answers of `score_count` scores.

    The checksum covers the key too, and is keyed by `secret`: a value that is corrupt, was written by somebody else,
    or belongs to another key is a miss, never a wrong answer.
    """

    def __init__(self, score_count: int, secret: str) -> None:
        self._body = struct.Struct(f"<BB{score_count}f")
        self._checksum_start = keyed_hash(secret, purpose="value", digest_bytes=CHECKSUM_BYTES)

    def encode(self, key: bytes, answer: Answer) -> bytes:
        """The bytes to keep under `key`; struct.error when the answer has another number of scores."""
        body = self._body.pack(FORMAT_VERSION, answer.truncated, *answer.scores)
        return body + self._checksum(key, body)

    def decode(self, key: bytes, value: bytes) -> Answer | None:
        """The answer kept under `key`, or None where `value` is not one; never raises."""
        body = value[: self._body.size]
        if len(value) != self._body.size + CHECKSUM_BYTES or value[self._body.size :] != self._checksum(key, body):
            return None
        version, truncated, *scores = self._body.unpack(body)
        # Without a secret anybody can write a value whose checksum is right.
        if version != FORMAT_VERSION or truncated > 1 or not all(0.0 <= score <= 1.0 for score in scores):
            return None
        return Answer(tuple(scores), bool(truncated))

    def _checksum(self, key: bytes, body: bytes) -> bytes:
        checksum = self._checksum_start.copy()
        checksum.update(key)
        checksum.update(body)
        return checksum.digest()
