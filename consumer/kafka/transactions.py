"""A transactional producer: one transaction at a time, and errors sorted by what can be done about them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from consumer.backoff import Backoff
from consumer.batch import Outgoing
from consumer.errors import ReaderError
from consumer.kafka.calls import error_of, may_try_again, until_done
from consumer.kafka.clients import KafkaUnavailableError
from consumer.kafka.embedded import is_embedded
from consumer.kafka.publisher import Failed, PublishError, send
from consumer.kafka.refusals import describe
from consumer.settings_parsing import SettingsError

log = structlog.get_logger()

INIT_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
LEAST_CALL_S = 0.1
STUCK_AFTER_S = 5.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0

FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
}


class FencedError(ReaderError):
    """This member's producer can write no more; whatever it had not committed is void."""


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
    """Used by one thread. Every method may block; what Kafka says may be tried again is tried again, until `patience`
    is over: it counts from the first failure since the last commit.

    All raise `FencedError` or `PublishError` when this process must end.
    """

    def __init__(self, producer: Producer, publish_timeout_s: float, patience: Backoff) -> None:
        self._producer = producer
        self._publish_timeout_s = publish_timeout_s
        self.patience = patience
        self._open = False
        self._deadline_s = 0.0
        self._back_by_s = math.inf
        self.failed: list[Failed] = []

    def initialise(self, stopping: Callable[[], bool]) -> None:
        """Fence earlier processes with the same transactional id and abort what they left open; ends early when
        `stopping()`.

        Raises `KafkaUnavailableError` when Kafka does not let this process use transactions, `SettingsError` on the
        embedded broker, which does not keep them apart.
        """
        deadline = time.monotonic() + INIT_TIMEOUT_S
        try:
            if is_embedded(self._producer.list_topics(timeout=CALL_TIMEOUT_S).cluster_id):
                raise SettingsError(
                    "DELIVERY=exactly-once needs a real Kafka: the embedded broker shows subscribers what an aborted "
                    "transaction wrote. Set KAFKA_BOOTSTRAP_SERVERS to one, or DELIVERY=at-least-once."
                )
            while error := error_of(self._producer.init_transactions, CALL_TIMEOUT_S):
                if stopping():
                    return
                if not error.retriable() or time.monotonic() > deadline:
                    raise KafkaException(error)
        except KafkaException as exception:
            raise KafkaUnavailableError(
                f"Kafka does not let this member begin transactions: {describe(exception)}. DELIVERY=exactly-once "
                "needs brokers whose transaction log is up, KAFKA_TRANSACTION_TIMEOUT_MS below their "
                "transaction.max.timeout.ms, and the right to write with transactional ids that begin with the group's "
                "name."
            ) from None

    def send(self, messages: Sequence[Outgoing], *, one_by_one: bool = False) -> None:
        """Add messages to the transaction, beginning one where none is open; returns before they are acknowledged,
        unless each is to be sent in a protocol batch of its own.

        What Kafka did not take is in `failed`, at the latest after `flush`.
        """
        if not self._open:
            self.failed = []
            self._certainly(self._producer.begin_transaction)
            self._open = True
        for group in [[message] for message in messages] if one_by_one else [messages]:
            with _readable():
                send(self._producer, group, self.failed)
                if one_by_one:
                    self._producer.flush()

    def flush(self) -> None:
        """Wait until every message is acknowledged or has failed; from here on the publish timeout runs."""
        self._deadline_s = time.monotonic() + self._publish_timeout_s
        with _readable():
            self._producer.flush()

    def send_offsets(self, next_offsets: Mapping[tuple[str, int], int], group_metadata: Any) -> None:
        """Add the offsets to the transaction, after `flush`.

        Raises `TransactionAbortedError` when it must be aborted, also when a message had failed: then with the cause.
        """
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in next_offsets.items()]
        # It tries again by itself. What is not done in time is aborted before the brokers do that and fence us.
        remaining_s = max(LEAST_CALL_S, self._deadline_s - time.monotonic())
        self._back_by_s = time.monotonic() + remaining_s + STUCK_AFTER_S
        try:
            error = error_of(self._producer.send_offsets_to_transaction, offsets, group_metadata, remaining_s)
        finally:
            self._back_by_s = math.inf
        if error is not None:
            raise _sorted(error)

    def commit(self) -> None:
        """Make everything sent visible. Raises `TransactionAbortedError` when the transaction must be aborted."""
        self._until_done(self._producer.commit_transaction, CALL_TIMEOUT_S)
        self._open = False
        self.patience.reset()

    def abort(self) -> None:
        """Make everything sent since the last commit void."""
        if self._open:
            self._certainly(self._producer.abort_transaction, CALL_TIMEOUT_S)
            self._open = False

    def check(self) -> None:
        """Raise `PublishError` when a call has not come back long after its time; for another thread to ask.

        librdkafka 2.16 can wait for ever for a group coordinator that went in the middle of `send_offsets`
        (confluentinc/librdkafka issues 5456 and 5511).
        """
        if time.monotonic() > self._back_by_s:
            raise PublishError(
                "Kafka's client does not come back from sending the offsets of a transaction: the group's coordinator "
                "went away meanwhile. Nothing of it is visible and it will be read again; start this member again."
            )

    def poll(self) -> None:
        """Serve librdkafka's callbacks while nothing else is done."""
        with _readable():
            self._producer.poll(0)

    def close(self) -> None:
        """Abort what is open, so that subscribers need not wait until it times out. Never raises."""
        if self._open:
            try:
                self._producer.abort_transaction(CLOSE_TIMEOUT_S)
            except KafkaException as error:
                log.warning("transaction_left_open", error=describe(error), meaning="the brokers abort it in a while")

    def _certainly(self, call: Callable[..., None], *arguments: Any) -> None:
        """`_until_done` for calls after which there is nothing to abort."""
        try:
            self._until_done(call, *arguments)
        except TransactionAbortedError as failed:
            raise PublishError(str(failed)) from None

    def _until_done(self, call: Callable[..., None], *arguments: Any) -> None:
        error = until_done(call, *arguments, patience=self.patience)
        if error is None:
            return
        if may_try_again(error):
            raise PublishError(
                "Kafka did not say for KAFKA_DELIVERY_TIMEOUT_MS whether a transaction is over: "
                f"{describe(error)}. The brokers know, and the next process reads on from there."
            )
        raise _sorted(error)


@contextmanager
def _readable() -> Iterator[None]:
    """With an `error_cb`, confluent-kafka raises a fatal error from whatever call serves callbacks, at times as the
    cause of a SystemError."""
    try:
        yield
    except (KafkaException, SystemError) as raised:
        cause = raised if isinstance(raised, KafkaException) else raised.__cause__ or raised.__context__
        if not isinstance(cause, KafkaException):
            raise
        ending = _sorted(cause.args[0])
        raise (ending if isinstance(ending, FencedError) else PublishError(str(ending))) from None


def _sorted(error: KafkaError) -> FencedError | TransactionAbortedError:
    """What an error of the transaction means: the end of this process, or an abort."""
    if not error.fatal() and error.code() != KafkaError.FENCED_INSTANCE_ID:
        return TransactionAbortedError(error)
    if error.code() in FENCED:
        return FencedError(
            f"This member was fenced: {describe(error)}. Its open transaction is void and will be done again by "
            "another member. It was stopped or cut off for longer than KAFKA_TRANSACTION_TIMEOUT_MS, or another "
            "process has the same KAFKA_GROUP_INSTANCE_ID; start it again."
        )
    return FencedError(
        f"Kafka ended the transactions of this member: {describe(error)}. What was open is void and will be read "
        "again. Check that this user may write to the topics and with transactional ids that begin with the group's "
        "name, and start it again."
    )
