"""Sends dead letters to the input topic again, each exactly once, whoever does it and however often it is killed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from consumer.backoff import Backoff
from consumer.batch import Headers
from consumer.dead_letters import DeadLetter, WholeLetter
from consumer.errors import ReaderError
from consumer.kafka.calls import may_try_again, until_done
from consumer.kafka.clients import make_admin, make_producer, producer_config
from consumer.kafka.embedded import is_embedded
from consumer.kafka.publisher import produce
from consumer.kafka.refusals import describe
from consumer.kafka.topics import reach
from consumer.kafka.transactions import FENCED
from consumer.settings import Settings
from schemas.dead_letter import receipt_to_kafka, replay_headers

TRANSACTION_RECORDS = 500
TRANSACTION_BYTES = 16_777_216
"""A transaction is kept in memory until it is committed, to be sent again should it abort."""

CALL_TIMEOUT_S = 10.0
FIRST_RETRY_S, LONGEST_RETRY_S, RETRY_FOR_S = 0.1, 2.0, 10.0
ANY_PARTITION = -1


class ReplayError(ReaderError):
    """The replay cannot begin or go on; what it had committed is replayed, the rest is not."""


class Replay:
    """The one replay of a dead-letter topic that may write.

    Each transaction holds replayed records and, in the dead-letter topic, a receipt for each: both become visible or
    neither does. `begin` fences an earlier replay and aborts what it left open, so whoever reads the receipts
    afterwards, up to the end of the topic, knows all that was replayed, and nobody can add to it. Used by one thread.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `KafkaUnavailableError` when no broker answers, `ReplayError` where a replay would not be safe."""
        # First of all: a producer warns of its own, and says less, when no broker lets it in.
        self._partitions = _input_partitions(settings)
        self._input_topic = settings.input_topic
        self._dead_letter_topic = settings.dead_letter_topic
        # Named after the topic and not after the group: people with different groups may replay the same topic.
        self._transactional_id = f"{settings.dead_letter_topic}.replay"
        # A replay that is killed holds the members back, which read committed records only, until its transaction times
        # out: no longer than any other transaction of the stream.
        self._timeout_ms = settings.kafka_transaction_timeout_ms
        self._producer = make_producer(
            producer_config(settings)
            | {
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": self._timeout_ms,
                "delivery.timeout.ms": min(settings.kafka_delivery_timeout_ms, self._timeout_ms),
                "log_level": 2,  # aborted transactions: they are tried again or told of here
            }
        )
        self._failed: list[KafkaError] = []

    def begin(self) -> None:
        """Take over from any earlier replay. Raises `ReplayError` when Kafka does not allow it."""
        if error := self._until_done(self._producer.init_transactions, CALL_TIMEOUT_S):
            raise ReplayError(
                f"Kafka does not let the replay begin: {describe(error)}. It needs brokers that answer and the right "
                f"to write with the transactional id {self._transactional_id}; nothing was changed."
            )

    def send(self, batch: Sequence[WholeLetter]) -> list[DeadLetter]:
        """Replay a batch; returns the dead letters that the input topic refuses as too large: the header with the
        attempts makes a record a little larger than it was.

        Raises `ReplayError` when the batch cannot be replayed or another replay has begun.
        """
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, RETRY_FOR_S)
        while error := self._transaction(batch):
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                return self._send_halves(batch)
            delay_s = backoff.delay_s()
            if delay_s is None:
                raise self._not_taken(error)
            time.sleep(delay_s)
        return []

    def _send_halves(self, batch: Sequence[WholeLetter]) -> list[DeadLetter]:
        """The broker refuses whole protocol batches: only what it refuses alone is really too large."""
        if len(batch) == 1:
            return [batch[0].letter]
        middle = len(batch) // 2
        return self.send(batch[:middle]) + self.send(batch[middle:])

    def _transaction(self, batch: Sequence[WholeLetter]) -> KafkaError | None:
        """Commit the batch, or abort and return why."""
        self._failed = []
        error = self._until_done(self._producer.begin_transaction) or self._produce(batch)
        error = error or self._until_done(self._producer.commit_transaction, CALL_TIMEOUT_S)
        if error is None:
            return None
        _raise_if_fenced(error)
        if error.fatal():
            raise ReplayError(
                f"Kafka ended the replay: {describe(error)}. What is replayed has its receipts; run it again for the "
                "rest."
            )
        if may_try_again(error):
            raise ReplayError(
                f"Kafka did not answer whether a transaction of {len(batch)} records is committed: {describe(error)}. "
                "Check the brokers and run it again: it will know what was replayed."
            )
        cause = self._cause(error)
        if abort_error := self._until_done(self._producer.abort_transaction, CALL_TIMEOUT_S):
            _raise_if_fenced(abort_error)
            raise self._not_taken(cause)
        return cause

    def _not_taken(self, error: KafkaError) -> ReplayError:
        return ReplayError(
            f"Kafka did not take a transaction: {describe(error)}. Nothing of it was replayed; check that this user "
            f"may write to {self._input_topic} and {self._dead_letter_topic}, and run it again."
        )

    def _produce(self, batch: Sequence[WholeLetter]) -> KafkaError | None:
        try:
            for letter, record in batch:
                headers = replay_headers(record.headers, letter.attempts + 1)
                self._queue(self._input_topic, self.home(letter), record.key, record.value, headers)
                receipt = receipt_to_kafka(*letter.position)
                self._queue(self._dead_letter_topic, record.partition, None, None, receipt)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            return error
        return None

    def _queue(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        fields = {"key": key, "value": value, "headers": list(headers), "partition": partition}
        produce(self._producer, topic, **fields, on_delivery=self._on_delivery)

    def home(self, letter: DeadLetter) -> int:
        """The partition that the record came from: there its key keeps its order. Elsewhere the key decides."""
        known = letter.source_topic == self._input_topic and letter.source_partition < self._partitions
        return letter.source_partition if known else ANY_PARTITION

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error)

    def _cause(self, error: KafkaError) -> KafkaError:
        """A record that was not taken says more than the transaction that failed with it."""
        too_large = [failed for failed in self._failed if failed.code() == KafkaError.MSG_SIZE_TOO_LARGE]
        if too_large or error.code() == KafkaError._INCONSISTENT:
            return next(iter(too_large or self._failed), error)
        return error

    def _until_done(self, call: Callable[..., Any], *arguments: Any) -> KafkaError | None:
        """Call again while Kafka says so and the transaction may still be alive; returns the error it ends with."""
        patience = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, self._timeout_ms / 1000)
        return until_done(call, *arguments, patience=patience)


def transactions_of(letters: Iterable[WholeLetter]) -> Iterator[list[WholeLetter]]:
    """Cut the dead letters into batches for one transaction each."""
    batch: list[WholeLetter] = []
    size_bytes = 0
    for whole in letters:
        batch.append(whole)
        size_bytes += len(whole.record.value or b"")
        if len(batch) >= TRANSACTION_RECORDS or size_bytes >= TRANSACTION_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _input_partitions(settings: Settings) -> int:
    # Of all topics: brokers may create a topic that they are asked about by its name.
    metadata = reach(make_admin(settings), settings)
    if is_embedded(metadata.cluster_id):
        raise ReplayError(
            "These brokers are librdkafka's mock cluster, which accepts transactions and does not isolate them: a "
            "replay that is cut off could be done twice. Replay on a real Kafka."
        )
    if settings.input_topic not in metadata.topics:
        raise ReplayError(
            f"The brokers have no topic {settings.input_topic} to replay into. Check INPUT_TOPIC and that this user "
            "may write to it; create the topics with `moderate topics create`."
        )
    return len(metadata.topics[settings.input_topic].partitions)


def _raise_if_fenced(error: KafkaError) -> None:
    if error.code() in FENCED:
        raise ReplayError(
            "Another replay of this dead-letter topic has begun, or this one stood still for longer than "
            "KAFKA_TRANSACTION_TIMEOUT_MS; so it ended here. What is replayed has its receipts; when no other replay "
            "is running, run it again for the rest."
        )
