"""From a message of the client to a record of ours, and which of the client's errors end the reading."""

from operator import methodcaller

import structlog
from confluent_kafka import Consumer, KafkaError, Message

from consumer.batch import Record, Refusal
from consumer.errors import ReaderError
from consumer.kafka.offset_reset import stopped_by_reset
from consumer.kafka.passing import reading_passes
from consumer.kafka.refusals import describe
from schemas import DeadLetterReason

log = structlog.get_logger()

TIMESTAMP_NOT_AVAILABLE = 0

_headers_of = methodcaller("headers")
"""For a header whose name is not UTF-8, confluent-kafka 2.16 returns a result and sets an error too. CPython's
optimised method call does not look for that, and the error comes out at some later line; a call through C code always
looks.
"""


class SourceError(ReaderError):
    """The input topic cannot be read any more; the message says why."""


def arrived(consumer: Consumer, most: int, timeout_s: float) -> list[Message]:
    """Up to `most` messages that have come already, else the first to come within `timeout_s`: only `poll` does not
    wait for more."""
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    return [first, *consumer.consume(most - 1, timeout=0)] if most > 1 else [first]


def record_of(message: Message) -> tuple[Record, Refusal | None]:
    """The record, and why it is refused already: the client cannot give headers when one's name is not UTF-8."""
    refusal = None
    try:
        headers = _headers_of(message) or ()
    except (SystemError, UnicodeDecodeError):
        headers = ()
        refusal = Refusal(
            DeadLetterReason.NOT_UTF_8, "the name of a header is not UTF-8; its headers could not be kept"
        )
    kind, timestamp_ms = message.timestamp()
    key, value = message.key(), message.value()
    # By position, and without a call for what is bytes already: 0.5 µs less a record.
    record = Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
        headers,
    )
    return record, refusal


def raise_unless_passing(error: KafkaError, message: Message) -> None:
    """Let what librdkafka recovers from by itself pass; raise `SourceError` for the rest."""
    if sentence := stopped_by_reset(error, message):
        raise SourceError(sentence)
    if not reading_passes(error):
        raise SourceError(
            f"Kafka does not let this member read on: {describe(error)}. Check that the topic exists, that this user "
            "may read it and use the group KAFKA_GROUP_ID, and that no other process has the same "
            "KAFKA_GROUP_INSTANCE_ID; then start again."
        )
    log.warning("source_error", error=describe(error))
