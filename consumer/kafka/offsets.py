"""Commits the offsets of acknowledged batches."""

import time

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.errors import ReaderError
from consumer.kafka.assignment import Assignment
from consumer.kafka.clients import describe

log = structlog.get_logger()

# The first four pass with the rebalance under way: partitions kept are committed in the new generation, the leases of
# those taken away end, and with them what there was to commit.
PASSING = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
}


class CommitError(ReaderError):
    """Offsets could not be committed; what they cover was published and will be read again."""


class OffsetCommitter:
    """Commits for the source's thread: confluent-kafka lets one thread at a time use a consumer, and makes others wait
    for as long as it polls.
    """

    def __init__(self, consumer: Consumer, assignment: Assignment, *, timeout_s: float) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._timeout_s = timeout_s
        self._failing_since: float | None = None

    def commit(self) -> bool:
        """Commit what is acknowledged; False when Kafka did not take it just now and it should be tried again.

        Raises `CommitError` when Kafka refuses for good or for longer than KAFKA_DELIVERY_TIMEOUT_MS.
        """
        acknowledged = self._assignment.acknowledged()
        if not acknowledged:
            return True
        error = self._try([TopicPartition(lease.topic, lease.partition, n) for lease, n in acknowledged.items()])
        if error is None:
            self._assignment.committed(acknowledged)
            self._failing_since = None
            return True
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if not (error.retriable() or error.code() in PASSING) or now - self._failing_since > self._timeout_s:
            raise CommitError(
                f"Kafka did not take the offsets of published batches: {describe(error)}. They will be read again; "
                "check the brokers, and that no other process has the same KAFKA_GROUP_INSTANCE_ID."
            )
        log.debug("commit_retried", error=describe(error))
        return False

    def _try(self, offsets: list[TopicPartition]) -> KafkaError | None:
        try:
            committed = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            return error
        return next((partition.error for partition in committed or [] if partition.error is not None), None)
