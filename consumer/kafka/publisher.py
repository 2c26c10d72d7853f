"""Publishes messages and waits until Kafka has acknowledged every one."""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.batch import Outgoing
from consumer.errors import ReaderError
from consumer.kafka.clients import describe

OnDelivery = Callable[[KafkaError | None, Message], None]


class PublishError(ReaderError):
    """Kafka did not take a message; nothing of its batch may be committed."""


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
        too_large: list[Outgoing] = []
        failed: list[tuple[Outgoing, KafkaError]] = []
        for outgoing in messages:

            def on_delivery(error: KafkaError | None, _message: Message, outgoing: Outgoing = outgoing) -> None:
                if error is not None:
                    failed.append((outgoing, error))

            if error := self._produce(outgoing, on_delivery):
                failed.append((outgoing, error))
        self._producer.flush()
        for outgoing, error in failed:
            if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                record = outgoing.record
                raise PublishError(
                    f"Kafka did not take the outcome of {record.topic}-{record.partition} offset "
                    f"{record.offset} for topic {outgoing.topic}: {describe(error)}"
                )
            too_large.append(outgoing)
        return too_large

    def _produce(self, outgoing: Outgoing, on_delivery: OnDelivery) -> KafkaError | None:
        while True:
            try:
                self._producer.produce(
                    outgoing.topic,
                    value=outgoing.value,
                    key=outgoing.key,
                    headers=list(outgoing.headers) or None,
                    on_delivery=on_delivery,
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                kafka_error: KafkaError = error.args[0]
                return kafka_error
            else:
                return None
