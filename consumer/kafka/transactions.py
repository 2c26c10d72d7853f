"""A transactional producer: one transaction at a time, and errors sorted by what can be done about them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from consumer.backoff import Backoff
from consumer.batch import Outgoing
from consumer.errors import ReaderError
from consumer.kafka.clients import KafkaUnavailableError, describe
from consumer.kafka.embedded import is_embedded
from consumer.kafka.publisher import Failed, PublishError, send
from consumer.settings_parsing import SettingsError

log = structlog.get_logger()

INIT_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
RETRY_CALL_S = 0.1


class FencedError(ReaderError):
    """Another process has taken this member's place; whatever it had not committed is void."""


class TransactionAbortedError(Exception):
    """The transaction cannot be committed: abort it, and do its work again or give up, by `error`; the message is for
    the reader."""

    def __init__(self, error: KafkaError, sentence: str = "") -> None:
        super().__init__(
            sentence
            or f"Kafka did not take a transaction: {describe(error)}. Nothing of it is visible; it will be read again."
        )
        self.error = error


class Transactions:
    """Used by one thread. Every method may block; what Kafka says may be tried again is tried again, for at most
    `give_up_after_s`.

    All raise `FencedError` or `PublishError` when this process must end.
    """

    def __init__(self, producer: Producer, give_up_after_s: float) -> None:
        self._producer = producer
        self._give_up_after_s = give_up_after_s
        self._open = False
        self.failed: list[Failed] = []

    def initialise(self) -> None:
        """Fence earlier processes with the same transactional id and abort what they left open.

        Raises `KafkaUnavailableError` when Kafka does not let this process use transactions, `SettingsError` on the
        embedded broker, which does not keep them apart.
        """
        try:
            if is_embedded(self._producer.list_topics(timeout=CALL_TIMEOUT_S).cluster_id):
                raise SettingsError(
                    "DELIVERY=exactly-once needs a real Kafka: the embedded broker shows subscribers what an aborted "
                    "transaction wrote. Set KAFKA_BOOTSTRAP_SERVERS to one, or DELIVERY=at-least-once."
                )
            self._producer.init_transactions(INIT_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailableError(
                f"Kafka does not let this member begin transactions: {describe(error)}. DELIVERY=exactly-once needs "
                "brokers that keep a transaction log, KAFKA_TRANSACTION_TIMEOUT_MS below their "
                "transaction.max.timeout.ms, and the right to write with transactional ids that begin with the group's "
                "name."
            ) from None

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Add messages to the transaction, beginning one where none is open; returns before they are acknowledged.

        What Kafka did not take is in `failed`, at the latest after `flush`.
        """
        if not self._open:
            self.failed = []
            self._until_done(self._producer.begin_transaction)
            self._open = True
        send(self._producer, messages, self.failed)

    def flush(self) -> None:
        """Wait until every message is acknowledged or has failed."""
        self._producer.flush()

    def commit(self, next_offsets: Mapping[tuple[str, int], int], group_metadata: Any) -> None:
        """Commit the messages and the offsets together. Raises `TransactionAbortedError` when it must be aborted."""
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in next_offsets.items()]
        self._until_done(self._producer.send_offsets_to_transaction, offsets, group_metadata, CALL_TIMEOUT_S)
        self._until_done(self._producer.commit_transaction, CALL_TIMEOUT_S)
        self._open = False

    def abort(self) -> None:
        """Make everything sent since the last commit void."""
        if self._open:
            try:
                self._until_done(self._producer.abort_transaction, CALL_TIMEOUT_S)
            except TransactionAbortedError as failed:
                raise PublishError(str(failed)) from None
            self._open = False

    def poll(self) -> None:
        """Serve librdkafka's callbacks while nothing else is done."""
        self._producer.poll(0)

    def close(self) -> None:
        """Abort what is open, so that subscribers need not wait until it times out. Never raises."""
        if self._open:
            try:
                self._producer.abort_transaction(CLOSE_TIMEOUT_S)
            except KafkaException as error:
                log.warning("transaction_left_open", error=describe(error), meaning="the brokers abort it in a while")

    def _until_done(self, call: Callable[..., None], *arguments: Any) -> None:
        backoff = Backoff(RETRY_CALL_S, CALL_TIMEOUT_S, self._give_up_after_s)
        while True:
            try:
                return call(*arguments)
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if error.fatal() or error.code() == KafkaError.FENCED_INSTANCE_ID:
                    raise FencedError(_fenced(error)) from None
                if error.txn_requires_abort() or not error.retriable():
                    raise TransactionAbortedError(error) from None
                delay_s = backoff.delay_s()
                if delay_s is None:
                    raise PublishError(str(TransactionAbortedError(error))) from None
                time.sleep(delay_s)


def _fenced(error: KafkaError) -> str:
    return (
        f"This member was fenced: {describe(error)}. Its open transaction is void and will be done again by another "
        "member. It was stopped or cut off for longer than KAFKA_TRANSACTION_TIMEOUT_MS, or another process has the "
        "same KAFKA_GROUP_INSTANCE_ID; start it again."
    )
