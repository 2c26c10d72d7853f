"""Traces as a collector gets them and a subscriber finds them, and what the stream does when the collector fails."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from structlog.testing import capture_logs

from consumer.batch import Batch, Item, Lease, Record
from consumer.parts import Observer
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.telemetry.tracing import open_tracing
from tests.collector import Collector, attributes, collector
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings, embedded_settings
from tests.stream import comment, headers, member, subscriber
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

LEASE = Lease("comments", 0)
DEADLINE_S = 30.0


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and the variables that lead to it; what is sent is sent soon."""
    with collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        yield running


def traceparent(number: int) -> bytes:
    return f"00-{number + 1:032x}-{number + 1:016x}-01".encode()


def said(logs: Sequence[Mapping[str, object]], event: str) -> list[Mapping[str, object]]:
    return [line for line in logs if line["event"] == event]


def one_batch(count: int = 1) -> Batch:
    records = [Record("comments", 0, n, None, None, b"{}", [("traceparent", traceparent(n))]) for n in range(count)]
    return Batch([Item(record, LEASE) for record in records])


def pass_one(observer: Observer) -> None:
    batch = one_batch()
    observer.taken(batch)
    observer.out(batch, batch.items)


def all_headers(message: Message) -> list[tuple[str, object]]:
    return [(str(pair[0]), pair[1]) for pair in message.headers() or ()]


def produce_with_headers(settings: Settings, sent: list[tuple[bytes, list[tuple[str, bytes]]]]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value, own in sent:
        producer.produce(settings.input_topic, value=value, headers=[*own])
    assert producer.flush(30) == 0


def test_a_trace_goes_on_from_the_producer_through_the_batch_to_the_subscriber(
    make_stream_settings: MakeSettings, spans: Collector
) -> None:
    settings = make_stream_settings(tracing=True)
    own = [(comment(f"own-{n}", f"text {n}"), [("traceparent", traceparent(n))]) for n in range(20)]
    without = [(comment(f"without-{n}", f"other {n}"), [("n", b"x")]) for n in range(20)]
    broken = [(b"broken", [("traceparent", traceparent(100))]), (b"broken too", [("n", b"x")])]
    malformed = [(comment("malformed", "malformed"), [("traceparent", b"00-11-22-01")])]
    with subscriber(settings) as results, member(settings, WordEngine()):
        produce_with_headers(settings, own + without + broken + malformed)
        results.read(43)
    made = spans.spans()

    def total(name: str) -> int:
        return sum(int(str(attributes(span.attributes)[name])) for span in made)

    assert set(spans.paths) == {"/v1/traces"}
    assert spans.resource()["service.name"] == "comment-moderation-stream"
    assert {(span.name, span.kind) for span in made} == {(f"process {settings.input_topic}", Span.SPAN_KIND_CONSUMER)}
    assert total("messaging.batch.message_count") == 43
    assert (total("moderation.tagged"), total("moderation.dead_letters")) == (41, 2)
    assert {attributes(span.attributes)["messaging.consumer.group.name"] for span in made} == {settings.kafka_group_id}
    linked = sorted(int.from_bytes(link.trace_id, "big") for span in made for link in span.links)
    assert linked == [*range(1, 21), 101]
    assert all("messaging.kafka.offset" in attributes(link.attributes) for span in made for link in span.links)

    batches = {f"{span.trace_id.hex()}-{span.span_id.hex()}" for span in made}
    dead = results.dead_letters()
    for event, message in zip(results.events(), [m for m in results.messages if m not in dead], strict=True):
        found = [value for name, value in all_headers(message) if name == "traceparent"]
        kind, _, number = event.comment.id.partition("-")
        if kind == "without":
            assert str(headers(message)["traceparent"], "ascii")[3:-3] in batches
            assert len(found) == 1
        else:
            assert found == [traceparent(int(number)) if kind == "own" else b"00-11-22-01"]
    for letter in dead:
        added = [name for name, _ in all_headers(letter) if not name.startswith("dlq.")]
        assert added == (["traceparent"] if letter.value() == b"broken" else ["n"])


def test_the_collector_and_what_to_call_the_service_are_set_by_opentelemetry_s_own_variables(
    spans: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{spans.endpoint}/elsewhere")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "moderation-eu")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "7")
    with ExitStack() as stack:
        observer = open_tracing(Settings(tracing=True), stack)
        batch = one_batch(20)
        observer.taken(batch)
        observer.out(batch, batch.items)
    assert spans.paths == ["/elsewhere"]
    assert spans.resource()["service.name"] == "moderation-eu"
    assert spans.resource()["deployment.environment.name"] == "test"
    assert len(spans.spans()[0].links) == 7


def test_a_batch_of_256_keeps_its_links_on_the_way_to_the_collector(spans: Collector) -> None:
    with ExitStack() as stack:
        observer = open_tracing(Settings(tracing=True), stack)
        batch = one_batch(256)
        observer.taken(batch)
        observer.out(batch, batch.items)
    (span,) = spans.spans()
    assert (len(span.links), span.dropped_links_count) == (256, 0)


def test_sampling_is_set_by_opentelemetry_s_own_variables(spans: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.0")
    with ExitStack() as stack:
        observer = open_tracing(Settings(tracing=True), stack)
        batch = one_batch()
        observer.taken(batch)
        observer.out(batch, batch.items)
    assert spans.spans() == []


def test_a_variable_that_cannot_be_used_is_said_at_start(spans: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "many")
    with ExitStack() as stack, pytest.raises(SettingsError, match="OTEL_SPAN_LINK_COUNT_LIMIT"):
        open_tracing(Settings(tracing=True), stack)


def test_batches_that_a_stop_left_unfinished_arrive_as_failed(spans: Collector) -> None:
    with ExitStack() as stack:
        open_tracing(Settings(tracing=True), stack).taken(one_batch())
    assert [span.status.code for span in spans.spans()] == [Status.STATUS_CODE_ERROR]


def test_a_stream_without_its_collector_tags_and_stops_and_says_so_once(
    embedded_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1.5")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    settings = embedded_settings(embedded_bootstrap, tmp_path, tracing=True, max_batch_records=2)
    with capture_logs() as logs, subscriber(settings) as results, member(settings, WordEngine()):
        sent = [(comment(f"c-{n}", f"text {n}"), [("tracestate", b"not a state")]) for n in range(200)]
        produce_with_headers(settings, sent)
        results.read(200)
        wait_until(lambda: said(logs, "traces_not_sent"))
        produce_with_headers(settings, sent)
        results.read(400)
    (warning,) = said(logs, "traces_not_sent")
    assert warning["reason"] == "ConnectionError"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in str(warning["remedy"])
    assert [record.name for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_a_collector_that_refuses_and_takes_again_is_said_once_each(spans: Collector) -> None:
    with capture_logs() as logs, ExitStack() as stack:
        observer = open_tracing(Settings(tracing=True), stack)
        for status, requests in ((401, 3), (200, 6)):
            spans.status = status
            while len(spans.paths) < requests:
                pass_one(observer)
                time.sleep(0.02)
    told = [(line["event"], line.get("reason")) for line in logs if str(line["event"]).startswith("traces")]
    assert told == [
        ("traces_not_sent", "HTTP status 401"),
        ("traces_sent_again", None),
    ]


def test_a_collector_that_hangs_holds_up_neither_the_stream_nor_its_end(
    spans: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    monkeypatch.setattr(logging.getLogger("opentelemetry.sdk._shared_internal"), "filters", [])  # remembers other tests
    spans.answers.clear()
    with capture_logs() as logs:
        with ExitStack() as stack:
            observer = open_tracing(Settings(tracing=True), stack)
            for _ in range(2_000):  # far more than can wait; each would wait a minute if any did
                pass_one(observer)
            began = time.monotonic()
        took_s = time.monotonic() - began
    assert took_s < 20, "the end waited for the collector"  # two seconds; the SDK by itself waits for thirty
    # Clients that other tests have left behind may say meanwhile that their brokers are gone.
    events = [line["event"] for line in logs if not line["event"].startswith("kafka_")]
    assert events == ["traces_dropped", "traces_lost"]
