"""`moderate produce`: a file or standard input to the input topic, every acknowledgement counted."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.files import FileError
from consumer.kafka.publisher import produce as produce_one
from consumer.kafka.refusals import describe
from consumer.terminal.inputs import InputRecord


@dataclass
class Produced:
    """What became of the records; `sent` counts what was handed to the client, so `sent` = `acknowledged` + `failed` at
    the end. `unread` is why the rest of the file could not be read."""

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    first_error: str = ""
    position_bytes: int = 0
    unread: FileError | None = None


def produce(
    producer: Producer, topic: str, records: Iterable[InputRecord], on_progress: Callable[[Produced], None]
) -> Produced:
    """Send all records, waiting where the client's queue is full, and wait for every acknowledgement.

    Where the file cannot be read on, those before are sent and counted all the same.
    """
    produced = Produced()

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        if error is None:
            produced.acknowledged += 1
        else:
            _count_failure(produced, describe(error))

    for record in _while_readable(records, produced):
        produced.sent += 1
        produced.position_bytes = record.position_bytes
        try:
            produce_one(producer, topic, value=record.value, key=record.key, on_delivery=on_delivery)
        except KafkaException as error:
            _count_failure(produced, f"{describe(error)}, for the record with key {(record.key or b'')[:80]!r}")
        producer.poll(0)
        on_progress(produced)
    while producer.flush(0.1):
        on_progress(produced)
    on_progress(produced)
    return produced


def _while_readable(records: Iterable[InputRecord], produced: Produced) -> Iterator[InputRecord]:
    try:
        yield from records
    except FileError as error:
        produced.unread = error


def _count_failure(produced: Produced, error: str) -> None:
    produced.failed += 1
    produced.first_error = produced.first_error or error
