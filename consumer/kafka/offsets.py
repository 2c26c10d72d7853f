"""What offsets need of the thread that owns the consumer: committing them, or knowing the group for a transaction."""

import time
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.backoff import Backoff
from consumer.errors import ReaderError
from consumer.kafka.assignment import Assignment
from consumer.kafka.clients import describe
from consumer.kafka.passing import committing_passes

log = structlog.get_logger()

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0


class CommitError(ReaderError):
    """Offsets could not be committed; what they cover was published and will be read again."""


class OffsetCommitter:
    """At-least-once: commits the offsets of acknowledged batches.

    For the source's thread: confluent-kafka lets one thread at a time use a consumer, and makes others wait for as long
    as it polls.
    """

    def __init__(self, consumer: Consumer, assignment: Assignment, *, timeout_s: float) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, timeout_s)
        self._retry_at_s = 0.0

    def serve(self) -> bool:
        """Commit what is acknowledged; False when something is left to commit, because Kafka did not take it just now.

        Raises `CommitError` when Kafka refuses for good or for longer than KAFKA_DELIVERY_TIMEOUT_MS.
        """
        acknowledged = self._assignment.acknowledged()
        if not acknowledged:
            return True
        if time.monotonic() < self._retry_at_s:
            return False
        error = self._try([TopicPartition(lease.topic, lease.partition, n) for lease, n in acknowledged.items()])
        if error is None:
            self._assignment.committed(acknowledged)
            self._backoff.reset()
            return True
        delay_s = self._backoff.delay_s() if committing_passes(error) else None
        if delay_s is None:
            raise CommitError(
                f"Kafka did not take the offsets of published batches: {describe(error)}. They will be read again; "
                "check the brokers, and that no other process has the same KAFKA_GROUP_INSTANCE_ID."
            )
        self._retry_at_s = time.monotonic() + delay_s
        log.debug("commit_retried", error=describe(error))
        return False

    def _try(self, offsets: list[TopicPartition]) -> KafkaError | None:
        try:
            committed = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            return error
        return next((partition.error for partition in committed or [] if partition.error is not None), None)


class GroupMetadata:
    """Exactly-once: transactions commit the offsets; what they need to know of the group is renewed here.

    The brokers take offsets only with the member's present generation, which fences members that were given up
    (KIP-447). It changes with every rebalance, and only the consumer's own thread may ask for it (23 µs).
    A consumer that the group has given up says that it is no member at all, and such offsets the brokers would take,
    as from a client older than KIP-447: then the last generation is kept, and refused.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._latest = consumer.consumer_group_metadata()

    def serve(self) -> bool:
        """Renew it while this is a member; nothing is left to do."""
        metadata = self._consumer.consumer_group_metadata()
        if self._consumer.memberid():
            self._latest = metadata
        return True

    def latest(self) -> Any:
        """What `send_offsets_to_transaction` takes; from any thread."""
        return self._latest
