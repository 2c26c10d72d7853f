"""Dead letters for tests: buried in their topic, replayed, and what then lies where."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from consumer.dead_letters import Selection, WholeLetter
from consumer.kafka.dead_letters import dead_letter_reader, read_contents, read_letters
from consumer.kafka.reading import offset_ranges
from consumer.kafka.records import record_of
from consumer.settings import Settings
from consumer.terminal.dead_letter_replay import replay_dead_letters
from schemas import DeadLetterHeaders, DeadLetterReason
from schemas.dead_letter import receipt_from_kafka, to_kafka

ProducedHeaders = list[tuple[str, str | bytes | None]]
ALL = Selection()
NOT_JSON = DeadLetterReason.NOT_JSON


def letter_headers(settings: Settings, source_offset: int, source_partition: int = 0) -> ProducedHeaders:
    added = DeadLetterHeaders(
        reason=NOT_JSON,
        detail="for a test",
        topic=settings.input_topic,
        partition=source_partition,
        offset=source_offset,
    )
    return list(to_kafka(added))


def bury(settings: Settings, count: int) -> None:
    """Write `count` dead letters as the stream does, spread over all partitions."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for n in range(count):
        key = b"k%d" % (n % 7)
        producer.produce(
            settings.dead_letter_topic,
            key=key,
            value=b"%d" % n,
            headers=letter_headers(settings, n, n % settings.topic_partitions),
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def bury_one(
    settings: Settings,
    partition: int,
    own_headers: Sequence[tuple[str, str | bytes | None]] = (),
    value: bytes | None = b"broken",
    source_offset: int = 0,
) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "message.max.bytes": 10_000_000})
    all_headers = [*own_headers, *letter_headers(settings, source_offset)]
    producer.produce(settings.dead_letter_topic, value=value, headers=all_headers, partition=partition)
    assert producer.flush(60) == 0


def replay(
    settings: Settings,
    selection: Selection = ALL,
    *,
    max_attempts: int = 3,
    dry_run: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    return replay_dead_letters(settings, selection, max_attempts=max_attempts, dry_run=dry_run, stopping=stopping)


def committed_records(settings: Settings, topic: str) -> list[Message]:
    """Everything in a topic that a `read_committed` reader sees up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "test-reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    with closing(consumer):
        partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        records: list[Message] = []
        ends: set[int | None] = set()
        deadline = time.monotonic() + 60
        while len(ends) < len(partitions):
            assert time.monotonic() < deadline, f"{topic} was not read to its end"
            for message in consumer.consume(1000, timeout=0.2):
                if message.error() is None:
                    records.append(message)
                else:
                    ends.add(message.partition())
        return records


def replayed_values(settings: Settings) -> list[bytes | None]:
    return [record_of(message)[0].value for message in committed_records(settings, settings.input_topic)]


def receipts(settings: Settings) -> list[tuple[int, int]]:
    records = committed_records(settings, settings.dead_letter_topic)
    return [found for message in records if (found := receipt_from_kafka(record_of(message)[0].headers))]


@contextmanager
def counting(settings: Settings, topic: str) -> Iterator[Callable[[], int]]:
    """Yields what counts the offsets that a topic has used up, those of open transactions included."""
    config = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "test-reader"}
    with closing(Consumer(config | {"isolation.level": "read_uncommitted"})) as consumer:
        partitions = [TopicPartition(topic, p) for p in range(settings.topic_partitions)]
        yield lambda: sum(consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions)


def whole_letters(settings: Settings) -> list[WholeLetter]:
    """The dead letters of a topic with their bytes."""
    topic = settings.dead_letter_topic

    def never() -> bool:
        return False

    with closing(dead_letter_reader(settings)) as consumer:
        ranges = offset_ranges(consumer, topic)
        contents = read_contents(consumer, topic, ranges, idle_s=30, stopping=never, on_read=lambda _: None)
        return list(read_letters(consumer, topic, contents.letters, idle_s=30, stopping=never))


@contextmanager
def open_transaction(settings: Settings, partition: int) -> Iterator[Producer]:
    """Some other producer's transaction in the dead-letter topic, aborted at the end at the latest."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "transactional.id": f"other-{settings.kafka_group_id}",
            "transaction.timeout.ms": 60_000,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(settings.dead_letter_topic, value=b"never committed", partition=partition)
    producer.flush(30)
    try:
        yield producer
    finally:
        producer.abort_transaction(30)
