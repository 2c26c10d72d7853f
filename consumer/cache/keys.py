"""Cache keys: which texts share an answer, told without the text."""

from collections.abc import Callable
from hashlib import blake2b

KEY_PREFIX = b"moderate:"
DIGEST_BYTES = 16
FINGERPRINT_CHARACTERS = 12
"""How much of the fingerprint stands readable in the key, so that an operator can find one model's answers."""


def key_function(fingerprint: str, secret: str) -> Callable[[str], bytes]:
    """A function from the text as the model sees it to its key, `moderate:<fingerprint>:<16 raw bytes>`.

    Two models (by `fingerprint`) never share a key. With a `secret`, the same for all members, nobody else can tell
    from a key which text it stands for. Any str has a key, lone surrogates too. About 1 µs for a short text.
    """
    prefix = KEY_PREFIX + _utf8(fingerprint[:FINGERPRINT_CHARACTERS]) + b":"
    # Hashed up to here once; copying that state is cheaper than keying a new one for every text.
    keyed = keyed_hash(secret, purpose="key " + fingerprint, digest_bytes=DIGEST_BYTES)

    def key(model_text: str) -> bytes:
        digest = keyed.copy()
        digest.update(model_text.encode("utf-8", "surrogatepass"))
        return prefix + digest.digest()

    return key


def keyed_hash(secret: str, purpose: str, digest_bytes: int) -> blake2b:
    """A hash to copy and update; different for every secret (any length; empty = none) and purpose."""
    return blake2b(
        digest_size=digest_bytes,
        key=blake2b(_utf8(secret), digest_size=blake2b.MAX_KEY_SIZE).digest() if secret else b"",
        person=blake2b(_utf8(purpose), digest_size=blake2b.PERSON_SIZE).digest(),
    )


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
