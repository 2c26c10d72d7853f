"""`moderate demo`: the consumer that production runs, on an embedded broker and an embedded cache, with every record
accounted for."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from consumer import demo_data
from consumer.app import run_with
from consumer.cache.embedded import embedded_cache
from consumer.errors import ReaderError
from consumer.kafka.clients import make_producer, producer_config
from consumer.kafka.embedded import FETCH_WAIT_MAX_MS, embedded_broker
from consumer.kafka.reading import outcomes_reader
from consumer.kafka.refusals import describe
from consumer.loading import load_model
from consumer.settings import Settings
from consumer.settings_parsing import load_settings
from consumer.terminal.inputs import InputRecord
from consumer.terminal.ledger import SEQUENCE_HEADER, Ledger
from consumer.terminal.outcome_files import OutcomeWriter, outcome_writer
from schemas import TaggedComment
from schemas.dead_letter import from_kafka

WINDOW_RECORDS = 512
BUILT_IN_WINDOW_RECORDS = 48
WINDOW_BYTES = 2_000_000
"""The embedded broker keeps about 5 MB per partition and then forgets: never more than this without an outcome."""
NO_PROGRESS_S = 120.0
DEMO_MEMORY_ENTRIES = 16
"""So few that older repeats of the built-in comments are answered by Redis and both layers can be seen at work."""


class Screen(Protocol):
    """What the demo shows while it runs."""

    def status(self, sentence: str) -> None:
        """Say what is being waited for."""
        ...

    def tagged(self, event: TaggedComment) -> None:
        """Show a tagged comment."""
        ...

    def dead_letter(self, value: bytes | None, reason: str) -> None:
        """Show a dead letter."""
        ...

    def progress(self, ledger: Ledger, position_bytes: int) -> None:
        """Show how far it is."""
        ...


class DemoError(ReaderError):
    """The demo could not finish; the message says why."""


def built_in_records() -> Iterator[InputRecord]:
    """The comments that come with the project, with the broken records spread among them."""
    comments = demo_data.comments()
    broken = demo_data.broken()
    every = max(1, len(comments) // (len(broken) + 1))
    for number, value in enumerate(comments, 1):
        yield InputRecord(json.loads(value)["id"].encode(), value, 0)
        if number % every == 0 and broken:
            yield InputRecord(f"broken-{len(broken)}".encode(), broken.pop().value, 0)


def demo_settings(bootstrap: str, redis_url: str, *, built_in: bool) -> Settings:
    """The person's own settings, but for the embedded broker and cache, and for what those cannot do."""
    overrides: dict[str, Any] = {
        "kafka_bootstrap_servers": bootstrap,
        "redis_url": redis_url,
        "cache_secret": token_hex(),  # the embedded cache has no password, and others may be on this machine
        "kafka_auto_offset_reset": "earliest",
        "kafka_security_protocol": "PLAINTEXT",
        "kafka_sasl_mechanism": "",
        "kafka_sasl_oauth_hook": "",
        "delivery": "at-least-once",
        "dead_letter_pause": False,
        "kafka_extra_config": {"fetch.wait.max.ms": FETCH_WAIT_MAX_MS},
    }
    if built_in:
        overrides["cache_memory_entries"] = DEMO_MEMORY_ENTRIES
    return load_settings(**overrides)


def run_demo(
    records: Iterator[InputRecord], screen: Screen, output: Path | None, *, built_in: bool, stopping: Callable[[], bool]
) -> tuple[Ledger, float]:
    """Send all records through the consumer; returns the books and the seconds from the first outcome to the last.

    Raises `DemoError` when the consumer fails or nothing comes out any more.
    """
    topics = load_settings()
    with ExitStack() as stack:
        screen.status("starting the embedded broker and cache")
        names = [topics.input_topic, topics.results_topic, topics.dead_letter_topic]
        bootstrap = stack.enter_context(embedded_broker(names))
        cache = stack.enter_context(embedded_cache())
        settings = demo_settings(bootstrap, cache.url, built_in=built_in)
        screen.status("loading the model")
        engine, policy = load_model(settings)
        reader = stack.enter_context(outcomes_reader(settings, "moderate-demo"))
        producer = make_producer(producer_config(settings))
        consumer = _BackgroundConsumer(lambda stop: run_with(settings, engine, policy, stop))
        stack.callback(consumer.stop)
        screen.status("joining the consumer group (about 4 s on the embedded broker)")
        # Only now is an older output overwritten: the input can be read and the model runs.
        records = itertools.chain([next(records)], records)
        writer = stack.enter_context(outcome_writer(output))
        window_records = BUILT_IN_WINDOW_RECORDS if built_in else WINDOW_RECORDS
        return _pump(records, window_records, settings, producer, reader, consumer, screen, writer, stopping)


def _pump(
    records: Iterator[InputRecord],
    window_records: int,
    settings: Settings,
    producer: Producer,
    reader: Consumer,
    consumer: "_BackgroundConsumer",
    screen: Screen,
    writer: OutcomeWriter,
    stopping: Callable[[], bool],
) -> tuple[Ledger, float]:
    """Produce within the window and read what comes out, until every record has an outcome."""
    ledger = Ledger()
    upcoming = next(records, None)
    position = 0
    first_outcome = last_outcome = time.monotonic()
    while (upcoming or ledger.in_flight) and not stopping():
        # The first record goes alone: it shows that the group is joined, and keeps the join out of the latencies.
        while (
            upcoming
            and ledger.in_flight < window_records
            and ledger.in_flight_bytes < WINDOW_BYTES
            and (ledger.sent != 1 or not ledger.in_flight)
        ):
            header = ledger.send(len(upcoming.value or b""))
            _send(producer, settings.input_topic, upcoming, header)
            producer.poll(0)
            position = upcoming.position_bytes
            upcoming = next(records, None)
        producer.poll(0)
        for message in reader.consume(WINDOW_RECORDS, timeout=0.02):
            if message.error() is None and ledger.receive(_sequence(message)):
                _book(message, settings, ledger, screen, writer)
                last_outcome = time.monotonic()
                if ledger.sent == 1:
                    first_outcome = last_outcome
        screen.progress(ledger, position)
        consumer.raise_if_dead()
        if time.monotonic() - last_outcome > NO_PROGRESS_S:
            break
    return ledger, last_outcome - first_outcome


def _send(producer: Producer, topic: str, record: InputRecord, header: tuple[str, bytes]) -> None:
    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            raise DemoError(f"the embedded broker did not take the record with key {record.key!r}: {describe(error)}")

    try:
        producer.produce(topic, value=record.value, key=record.key, headers=[header], on_delivery=on_delivery)
    except KafkaException as error:
        raise DemoError(f"the record with key {record.key!r} cannot be sent: {describe(error)}") from None


def _book(message: Message, settings: Settings, ledger: Ledger, screen: Screen, writer: OutcomeWriter) -> None:
    value = message.value()
    raw = value.encode() if isinstance(value, str) else value
    if message.topic() == settings.dead_letter_topic:
        letter = from_kafka(message.headers() or ())  # type: ignore[arg-type]
        ledger.dead_letters[letter.reason] += 1
        screen.dead_letter(raw, letter.reason)
        writer.dead_letter(letter.model_dump(mode="json"), message.key(), raw)
        return
    event = TaggedComment.model_validate_json(raw or b"")
    ledger.tagged += 1
    ledger.answered_by[event.answered_by] += 1
    ledger.actions[event.decision.action] += 1
    screen.tagged(event)
    writer.tagged(raw or b"")


def _sequence(message: Message) -> int:
    return int(dict(message.headers() or ())[SEQUENCE_HEADER] or b"")


class _BackgroundConsumer:
    """The consumer in a thread of its own; a failure there is raised here."""

    def __init__(self, run: Callable[[Callable[[], bool]], None]) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(run,), name="consumer")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise DemoError(f"the consumer failed: {self._error}") from self._error

    def raise_if_dead(self) -> None:
        if not self._thread.is_alive():
            raise DemoError(f"the consumer ended: {self._error}") from self._error

    def _run(self, run: Callable[[Callable[[], bool]], None]) -> None:
        try:
            run(self._stop.is_set)
        except BaseException as error:
            self._error = error
