"""The moment a batch is done: its outputs acknowledged, then its offsets committed; nothing is committed before."""

import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.batch import Lease, Outgoing, Record
from consumer.errors import ReaderError
from consumer.kafka.clients import describe
from consumer.kafka.publisher import Publisher, PublishError

log = structlog.get_logger()

RETRY_PAUSE_S = 0.2
OWNERSHIP_LOST = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._NO_OFFSET,
}
PASSING = {
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


class AtLeastOnceCheckpoint:
    """Publishes a batch's messages, waits for every acknowledgement, then commits its offsets.

    After a crash in between, the batch is read again and its events come out a second time with the same event ids.
    Used by one thread.
    """

    def __init__(
        self, publisher: Publisher, consumer: Consumer, *, too_large: Callable[[Record], Outgoing], timeout_s: float
    ) -> None:
        self._publisher = publisher
        self._consumer = consumer
        self._too_large = too_large
        self._timeout_s = timeout_s

    def complete(self, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> list[Outgoing]:
        """Publish `messages`, then commit `next_offsets` of the leases that are still valid.

        Returns the dead letters that took the place of results too large for their topic.
        Raises `PublishError` or `CommitError` when the batch must be read again by a new process.
        """
        refused = self._publisher.publish(messages)
        replaced = [self._too_large(result.record) for result in refused if not result.is_dead_letter]
        stuck = [letter for letter in refused if letter.is_dead_letter] + self._publisher.publish(replaced)
        if stuck:
            raise PublishError(_does_not_fit(stuck[0]))
        self._commit({lease: offset for lease, offset in next_offsets.items() if lease.valid})
        return replaced

    def idle(self) -> None:
        """Called now and then while there is nothing to complete."""
        self._publisher.poll()

    def _commit(self, next_offsets: Mapping[Lease, int]) -> None:
        if not next_offsets:
            return
        offsets = [TopicPartition(lease.topic, lease.partition, offset) for lease, offset in next_offsets.items()]
        deadline = time.monotonic() + self._timeout_s
        while error := self._try_commit(offsets):
            if error.code() in OWNERSHIP_LOST:
                log.warning(
                    "commit_refused",
                    error=describe(error),
                    meaning="the partitions moved on; their new owner reads the batch again",
                )
                return
            if not (error.retriable() or error.code() in PASSING) or time.monotonic() > deadline:
                raise CommitError(
                    f"Kafka did not take the offsets of a published batch: {describe(error)}. It will be read again."
                )
            time.sleep(RETRY_PAUSE_S)

    def _try_commit(self, offsets: list[TopicPartition]) -> KafkaError | None:
        try:
            committed = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            return error
        return next((partition.error for partition in committed or [] if partition.error is not None), None)


def _does_not_fit(letter: Outgoing) -> str:
    record = letter.record
    return (
        f"The dead letter of {record.topic}-{record.partition} offset {record.offset} is too large for "
        f"topic {letter.topic}; "
        f"raise that topic's max.message.bytes above {len(record.value or b'') + 4096} and start again."
    )
