"""The least that a moderation stream in plain Python does around its model: decode, hash for a cache, encode."""

import hashlib
import json

from tests.benchmarks.peers.raw_passthrough.peer import MOST_UNSENT, RECORDS_AT_ONCE, consumer, producer
from tests.benchmarks.peers.stream_peer import options, stop_on_sigterm


def result(value: bytes | None) -> bytes:
    """A comment with a constant answer."""
    comment = json.loads(value or b"")
    key = hashlib.sha256(comment["text"].encode()).hexdigest()
    return json.dumps({"comment": comment, "sentiment": "neutral", "toxic": 0.01, "key": key}).encode()


def main() -> None:
    """Pass on until SIGTERM."""
    told, stopping = options(), stop_on_sigterm()
    source, target = consumer(told), producer(told)
    source.subscribe([told.input])
    while not stopping.is_set():
        if (first := source.poll(0.1)) is None:
            continue
        for message in (first, *source.consume(RECORDS_AT_ONCE - 1, 0)):
            target.produce(told.output, result(message.value()), message.key())
        target.poll(0)
        while len(target) > MOST_UNSENT:
            target.poll(0.01)
    target.flush()
    source.close()


if __name__ == "__main__":
    main()
