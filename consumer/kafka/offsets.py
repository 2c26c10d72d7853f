"""What offsets need of the thread that owns the consumer: committing them, or knowing the group for a transaction."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition

from consumer.backoff import Backoff
from consumer.batch import Lease
from consumer.errors import ReaderError
from consumer.kafka.assignment import Assignment
from consumer.kafka.calls import commit_and_wait, error_of
from consumer.kafka.clients import Member
from consumer.kafka.passing import committing_passes
from consumer.kafka.refusals import describe

log = structlog.get_logger()

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 0.5


class CommitError(ReaderError):
    """Offsets could not be committed; what they cover was published and will be read again."""


class OffsetCommitter:
    """At-least-once: commits the offsets of acknowledged batches.

    For the source's thread: confluent-kafka lets one thread at a time use a consumer, and makes others wait for as long
    as it polls. A commit may take seconds while the group rebalances or a broker hangs, so the thread asks for it and
    reads on; the answer comes with a later poll. Only a revoke waits: no poll can come in between.
    """

    def __init__(self, consumer: Member, assignment: Assignment, *, timeout_s: float) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._timeout_s = timeout_s
        self._backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, timeout_s)
        self._retry_at_s = 0.0
        self._asked: dict[Lease, int] = {}
        self._asked_at_s = 0.0
        self._answers_to_pass_over = 0

    def serve(self, *, wait: bool = False) -> bool:
        """Commit what is acknowledged; False when something is left to commit, or to be answered.

        Raises `CommitError` when Kafka refuses for good or for longer than KAFKA_DELIVERY_TIMEOUT_MS.
        """
        self._heed_answers()
        acknowledged = self._assignment.acknowledged()
        if not acknowledged:  # whatever failed last was committed since, or its lease has ended
            self._backoff.reset()
            self._retry_at_s = 0.0
            return True
        if time.monotonic() < self._retry_at_s or (self._asked and not wait):
            return False
        offsets = [TopicPartition(lease.topic, lease.partition, n) for lease, n in acknowledged.items()]
        if wait:
            self._answers_to_pass_over += bool(self._asked)
            self._asked = {}
            return self._settle(acknowledged, commit_and_wait(self._consumer, offsets))
        self._asked, self._asked_at_s = acknowledged, time.monotonic()
        if error := error_of(self._consumer.commit, offsets=offsets, asynchronous=True):
            self._settle(self._asked, error)
            self._asked = {}
        return False

    def _heed_answers(self) -> None:
        while self._consumer.commit_answers:
            error = self._consumer.commit_answers.popleft()
            if self._answers_to_pass_over:
                self._answers_to_pass_over -= 1
            elif self._asked:
                self._settle(self._asked, error)
                self._asked = {}
        if self._asked and time.monotonic() - self._asked_at_s > self._timeout_s:
            raise CommitError(_refused("no answer for KAFKA_DELIVERY_TIMEOUT_MS"))

    def _settle(self, offsets: dict[Lease, int], error: KafkaError | None) -> bool:
        """Note what a commit came to; False when it is to be tried again."""
        if error is None:
            self._assignment.committed(offsets)
            self._backoff.reset()
            return True
        delay_s = self._backoff.delay_s() if committing_passes(error) else None
        if delay_s is None:
            raise CommitError(_refused(describe(error)))
        self._retry_at_s = time.monotonic() + delay_s
        log.debug("commit_retried", error=describe(error))
        return False


def _refused(why: str) -> str:
    return (
        f"Kafka did not take the offsets of published batches: {why}. They will be read again; check the brokers, and "
        "that no other process has the same KAFKA_GROUP_INSTANCE_ID."
    )


class GroupMetadata:
    """Exactly-once: transactions commit the offsets; what they need to know of the group is renewed here.

    The brokers take offsets only with the member's present generation, which fences members that were given up
    (KIP-447). It changes with every rebalance, and only the consumer's own thread may ask for it (23 µs).
    A consumer that the group has given up says that it is no member at all, and such offsets the brokers would take,
    as from a client older than KIP-447: then the last generation is kept, and refused.
    """

    def __init__(self, consumer: Consumer, check: Callable[[], None]) -> None:
        """`check` raises when the transactions stand still."""
        self._consumer = consumer
        self._check = check
        self._latest = consumer.consumer_group_metadata()

    def serve(self, *, wait: bool = False) -> bool:  # noqa: ARG002 - there is nothing to wait for
        """Renew it while this is a member; nothing is left to do. Raises when the transactions stand still."""
        self._check()
        metadata = self._consumer.consumer_group_metadata()
        if self._consumer.memberid():
            self._latest = metadata
        return True

    def latest(self) -> Any:
        """What `send_offsets_to_transaction` takes; from any thread."""
        return self._latest
