"""Answers as bytes: 1 byte format version, 1 byte truncated, one little-endian float32 per score, 8 bytes checksum."""

import struct
from collections.abc import Sequence
from hmac import compare_digest

from consumer.answer import Answer
from consumer.cache.keys import keyed_hash

FORMAT_VERSION = 1

CHECKSUM_BYTES = 8
"""Enough with a secret: whoever lacks it can only write a guess and let members read it, one in 2**64 (1.8e19) is
right, and what is seen of other values helps with none."""

SUM_TOLERANCE = 1e-5
"""Of 2 to 10,000 labels, in float32, sums were off by 3e-7 at most."""

_BITS_OF_ONE = 0x3F80_0000
"""Of the float32 1.0. Those of 0.0 to 1.0 are all up to here; a sign (-0.0 too), what is above 1, infinity and NaN lie
beyond."""


class AnswerCodec:
    """Encodes and decodes answers of `score_count` scores; those in each slice of `competing` sum to one.

    The checksum covers the key too, and is keyed by `secret`: a value that is corrupt, was written by somebody else,
    or belongs to another key is a miss, never a wrong answer. Without a secret anybody can write a value whose checksum
    is right; what no model can have said is a miss then, too.
    """

    def __init__(self, score_count: int, secret: str, competing: Sequence[slice]) -> None:
        self._body = struct.Struct(f"<BB{score_count}f")
        self._bits = struct.Struct(f"<2x{score_count}I")
        self._competing = tuple(competing)
        self._checksum_start = keyed_hash(secret, purpose="value", digest_bytes=CHECKSUM_BYTES)

    def encode(self, key: bytes, answer: Answer) -> bytes:
        """The bytes to keep under `key`; struct.error when the answer has another number of scores."""
        body = self._body.pack(FORMAT_VERSION, answer.truncated, *answer.scores)
        return body + self._checksum(key, body)

    def decode(self, key: bytes, value: bytes) -> Answer | None:
        """The answer kept under `key`, or None where `value` is not one; never raises."""
        size = self._body.size
        if len(value) != size + CHECKSUM_BYTES:
            return None
        body = value[:size]
        if not compare_digest(value[size:], self._checksum(key, body)):
            return None
        version, truncated, *scores = self._body.unpack(body)
        if version != FORMAT_VERSION or truncated > 1 or max(self._bits.unpack(body)) > _BITS_OF_ONE:
            return None
        for group in self._competing:
            if abs(sum(scores[group]) - 1.0) > SUM_TOLERANCE:
                return None
        return Answer(tuple(scores), bool(truncated))

    def _checksum(self, key: bytes, body: bytes) -> bytes:
        checksum = self._checksum_start.copy()
        checksum.update(key)
        checksum.update(body)
        return checksum.digest()
