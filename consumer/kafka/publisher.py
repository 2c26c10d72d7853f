"""Publishes messages and waits until Kafka has acknowledged every one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.batch import Outgoing
from consumer.errors import ReaderError
from consumer.kafka.refusals import describe


class PublishError(ReaderError):
    """Kafka did not take a message; nothing of its batch may be committed."""


class Failed(NamedTuple):
    """A message that Kafka did not take."""

    outgoing: Outgoing
    error: KafkaError


class Publisher:
    """An idempotent producer, used by one thread.

    Messages with the same key come out in the order they are given. One that is too large for its topic is handed back,
    not dropped.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def publish(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Send all and block until all are acknowledged; returns those that are too large for their topic.

        Raises `PublishError` when a message fails for any other reason or stays unacknowledged for
        KAFKA_DELIVERY_TIMEOUT_MS.
        """
        too_large = self._send(messages)
        if len(too_large) > 1 or (too_large and len(messages) > 1):
            # The broker refuses whole protocol batches: only what it refuses alone is really too large.
            too_large = [message for message in too_large if self._send([message])]
        return too_large

    def poll(self) -> None:
        """Serve librdkafka's callbacks while nothing is being published."""
        self._producer.poll(0)

    def close(self, timeout_s: float) -> None:
        """Give up to `timeout_s` to what is still unsent; nothing is when every batch was waited for."""
        self._producer.flush(timeout_s)

    def _send(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        failed: list[Failed] = []
        try:
            send(self._producer, messages, failed)
            self._producer.flush()
        except KafkaException as error:  # a fatal one comes out of whatever call serves callbacks
            raise PublishError(
                f"Kafka takes nothing more from this member: {describe(error)}. Start it again."
            ) from None
        for failure in failed:
            if failure.error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise PublishError(not_taken(failure))
        return [failure.outgoing for failure in failed]


def produce(producer: Producer, topic: str, **fields: Any) -> None:
    """Hand one message to `producer`, waiting where its queue is full. Raises KafkaException when it is not taken."""
    while True:
        try:
            return producer.produce(topic, **fields)
        except BufferError:
            producer.poll(0.1)


def send(producer: Producer, messages: Sequence[Outgoing], failed: list[Failed]) -> None:
    """Hand `messages` to `producer`, waiting where its queue is full; those that Kafka does not take come into
    `failed`, now or while the producer is polled or flushed."""
    for outgoing in messages:

        def on_delivery(error: KafkaError | None, _message: Message, outgoing: Outgoing = outgoing) -> None:
            if error is not None:
                failed.append(Failed(outgoing, error))

        try:
            produce(
                producer,
                outgoing.topic,
                value=outgoing.value,
                key=outgoing.key,
                headers=list(outgoing.headers) if outgoing.headers else None,
                on_delivery=on_delivery,
            )
        except KafkaException as exception:
            failed.append(Failed(outgoing, exception.args[0]))


def not_taken(failure: Failed) -> str:
    """For the reader: which record's outcome Kafka did not take, and why."""
    record = failure.outgoing.record
    return (
        f"Kafka did not take the outcome of {record.topic}-{record.partition} offset {record.offset} for topic "
        f"{failure.outgoing.topic}: {describe(failure.error)}. Check that the topic exists and that this user may "
        "write to it; the record is not committed and will be read again."
    )
