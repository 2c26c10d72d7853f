"""Hostile records: in = tagged + dead letters, each once, byte for byte, and nothing of their texts in the log."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from kafka import KafkaProducer
from pydantic_core import from_json

from consumer.kafka.clients import common_config
from consumer.settings import Settings
from schemas import TaggedComment
from schemas.dead_letter import from_kafka
from tests.chaos.corpus import MARK, Headers, HostileRecord, corpus
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report, some
from tests.chaos.scenario import Options, main, scene
from tests.chaos.strategies import generate

TITLE = "hostile records (hypothesis strategies, and a corpus of malformed JSON, Unicode and headers)"
MUST_HOLD = "in = tagged + dead letters, each once; dead letters byte for byte; no comment text in the log"

RECORDS, RECORDS_SHORT = 200_000, 10_000
CORPUS_EVERY = 5_000
"""After so many generated records the whole corpus comes again."""
UNREADABLE_NAMES = 200
"""Records with a header whose name is not UTF-8."""
QUIET_S = 60.0
MOST_LOG_LINES = 1_000
"""A hostile producer must not be able to fill a disk with log lines."""


def run(report: Report, options: Options) -> None:
    """One member, while all of it is sent; then everything that came out is compared with what went in."""
    report.did(f"seed {options.seed}")
    with scene(options, max_batch_records=256) as here:
        member = here.member("member").start()
        sent = _send_all(here.settings, RECORDS_SHORT if options.short else RECORDS, options.seed)
        report.counted(sent=len(sent), distinct_values=len({record.value for record in sent}))
        books = Books(here.settings, sent)
        books.read(until=lambda: books.complete or not member.running)
        report.missing(*here.terminate_members())
        books.read(until=lambda: False, quiet_s=3)
        report.counted(**books.figures(), log_lines=len(member.events()))
        report.missing(*books.problems(), *_log_problems(member))


def _log_problems(member: MemberProcess) -> list[str]:
    found = []
    if MARK in member.output():
        found.append("the member's log has a comment's text")
    if len(member.output().splitlines()) > MOST_LOG_LINES:
        found.append(f"the member wrote more than {MOST_LOG_LINES} lines about hostile records")
    return found


def _send_all(settings: Settings, count: int, seed: int) -> list[HostileRecord]:
    """`count` records of the strategies and the corpus many times; returns each as Kafka got it: its place in the list
    is its `number`."""
    sent: list[HostileRecord] = []
    whole_corpus = list(corpus())
    producer = Producer(common_config(settings) | {"message.max.bytes": 10_000_000, "compression.type": "lz4"})

    def send(record: HostileRecord) -> None:
        numbered = record._replace(headers=(("number", str(len(sent)).encode()), *record.headers))
        sent.append(numbered)
        _produce(producer, settings.input_topic, numbered)

    def send_generated(record: HostileRecord) -> None:
        send(record)
        if len(sent) % CORPUS_EVERY == 0:
            for hand_written in whole_corpus:
                send(hand_written)

    generate(count, seed_number=seed, use=send_generated)
    assert producer.flush(60) == 0, "Kafka did not take all of the records"
    _send_unreadable_names(settings, sent)
    return sent


def _produce(producer: Producer, topic: str, record: HostileRecord) -> None:
    while True:
        try:
            producer.produce(topic, record.value, record.key, headers=list(record.headers))
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


class _UnreadableName(str):
    """A header's name that kafka-python writes as bytes which are not UTF-8."""

    def encode(self, *_arguments: object) -> bytes:
        return b"x\xff\xfe"


def _send_unreadable_names(settings: Settings, sent: list[HostileRecord]) -> None:
    """Their headers cannot be kept, so they are told apart by their value."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    for _ in range(UNREADABLE_NAMES):
        value = b'{"id":"unreadable-%d","text":"%s"}' % (len(sent), MARK.encode())
        sent.append(HostileRecord(None, value, ()))
        producer.send(settings.input_topic, value, headers=[("a", b"1"), (_UnreadableName("b"), b"2")])
    producer.flush(60)
    producer.close()


class Books:
    """What went in against what came out, record by record."""

    def __init__(self, settings: Settings, sent: list[HostileRecord]) -> None:
        self._sent = sent
        self._without_number = {record.value: number for number, record in enumerate(sent) if not record.headers}
        self._results_topic = settings.results_topic
        self._outcomes: Counter[int] = Counter()
        self._reasons: Counter[str] = Counter()
        self._wrong: list[str] = []
        large = {"fetch.message.max.bytes": 20_000_000, "receive.message.max.bytes": 200_000_000}
        group = {"group.id": "chaos-books", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer(common_config(settings) | large | group)
        metadata = self._consumer.list_topics(timeout=30).topics
        topics = (settings.results_topic, settings.dead_letter_topic)
        self._consumer.assign([TopicPartition(topic, p, 0) for topic in topics for p in metadata[topic].partitions])

    @property
    def complete(self) -> bool:
        """Whether each record came out."""
        return len(self._outcomes) >= len(self._sent)

    def read(self, until: Callable[[], bool], quiet_s: float = QUIET_S) -> None:
        """Read on `until` it is so, or nothing came for `quiet_s`."""
        news_s = time.monotonic()
        while not until() and time.monotonic() - news_s < quiet_s:
            for message in self._consumer.consume(500, timeout=0.2):
                if message.error() is None:
                    self._take(message)
                    news_s = time.monotonic()

    def figures(self) -> dict[str, int]:
        """How many came out as what."""
        dead_letters = {reason: times for reason, times in self._reasons.most_common() if reason}
        return {"tagged": self._reasons[""], "dead_letters": sum(dead_letters.values()), **dead_letters}

    def problems(self) -> list[str]:
        """What does not add up, one sentence each."""
        found = []
        missing = [number for number in range(len(self._sent)) if number not in self._outcomes]
        if missing:
            found.append(f"{len(missing)} records never came out: numbers {some(missing)}")
        if doubles := [number for number, times in self._outcomes.items() if times > 1]:
            found.append(f"{len(doubles)} records came out more than once: numbers {some(doubles)}")
        return found + self._wrong

    def _take(self, message: Message) -> None:
        headers = _headers(message)
        numbered = headers and headers[0][0] == "number"
        number = int(headers[0][1] or b"") if numbered else self._without_number[_bytes(message.value())]
        self._outcomes[number] += 1
        tagged = message.topic() == self._results_topic
        faults = _faults_of_tagged if tagged else _faults_of_dead_letter
        self._wrong += [f"number {number}: {fault}" for fault in faults(message, self._sent[number])]
        self._reasons["" if tagged else (dict(headers)["dlq.reason"] or b"").decode()] += 1


def as_promised(value: bytes) -> Any:
    """The comment that the event of `value` must carry, by a reading of the contract that shares no code with ours."""
    comment = with_whole_characters(json.loads(value.decode("utf-8-sig")))
    comment["id"] = str(comment["id"])
    return comment


def with_whole_characters(value: Any) -> Any:
    """U+FFFD for each half of a surrogate pair that stands alone, in names too."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    if isinstance(value, list):
        return [with_whole_characters(inner) for inner in value]
    if isinstance(value, dict):
        return {with_whole_characters(name): with_whole_characters(inner) for name, inner in value.items()}
    return value


def _faults_of_dead_letter(message: Message, record: HostileRecord) -> list[str]:
    headers = _headers(message)
    kept, added = headers[: len(record.headers)], headers[len(record.headers) :]
    faults = []
    if (_bytes(message.key()), _bytes(message.value())) != (record.key, record.value):
        faults.append("its dead letter has another key or value")
    if kept != record.headers or not all(name.startswith("dlq.") for name, _ in added):
        faults.append(f"its dead letter has other headers: {headers}")
    if MARK in from_kafka(headers).detail:
        faults.append("the detail of its dead letter quotes its text")
    return faults


def _faults_of_tagged(message: Message, record: HostileRecord) -> list[str]:
    value, faults = _bytes(message.value()) or b"", []
    try:
        event = TaggedComment.model_validate_json(value)
    except ValueError as error:
        return [f"its tagged comment breaks the contract: {error}"]
    if from_json(value)["comment"] != as_promised(record.value or b""):
        faults.append("its tagged comment has another comment")
    if _bytes(message.key()) != (event.comment.id.encode() if record.key is None else record.key):
        faults.append(f"its tagged comment has the key {message.key()!r}")
    if _headers(message) != record.headers:
        faults.append(f"its tagged comment has other headers: {_headers(message)}")
    return faults


def _headers(message: Message) -> Headers:
    return tuple(cast("list[tuple[str, bytes | None]]", message.headers() or []))


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
