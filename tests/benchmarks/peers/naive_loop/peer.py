"""The least that a moderation stream in plain Python does around its model: decode, hash for a cache, encode."""

import hashlib
import json

from confluent_kafka import Message

from tests.benchmarks.peers.raw_passthrough.peer import pass_on


def result(message: Message) -> bytes:
    """A comment with a constant answer."""
    comment = json.loads(message.value() or b"")
    key = hashlib.sha256(comment["text"].encode()).hexdigest()
    return json.dumps({"comment": comment, "sentiment": "neutral", "toxic": 0.01, "key": key}).encode()


if __name__ == "__main__":
    pass_on(result)
