"""The span of a batch: when there is one, what it says, and what it hands on."""

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from consumer.answer import Answer
from consumer.batch import Batch, Decoded, Headers, Item, Lease, Record, Refusal
from consumer.outputs import Outputs
from consumer.policy import Policy
from consumer.telemetry.spans import BatchSpans, trace_of
from consumer.verdict import Judge
from schemas import DeadLetterReason, ModelInfo
from tests.fakes import TAG_GROUPS

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01".encode()
NOT_SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00".encode()
MALFORMED = [
    b"",
    b"00-a-b-01",
    b"\xff\xfe\x00",
    f"ff-{TRACE_ID}-{SPAN_ID}-01".encode(),
    f"00-{'0' * 32}-{SPAN_ID}-01".encode(),
    f"00-{TRACE_ID}-{'0' * 16}-01".encode(),
    f"00-{TRACE_ID.upper()}-{SPAN_ID}-01".encode(),
    f"00-{TRACE_ID}-{SPAN_ID}-01-more".encode(),
    b"00-" + b"a" * 10_000,
    "٠٠".encode(),
]

LEASE = Lease("comments", 3)


class Tracing:
    """The observer, and the spans it has ended."""

    def __init__(self, sampler: Sampler = ALWAYS_ON, most_links: int = 256) -> None:
        self._ended = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, span_limits=SpanLimits(max_links=most_links), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self.spans = BatchSpans(
            provider.get_tracer("test"), topic="comments", group="moderators", most_links=most_links
        )

    def ended(self) -> Sequence[ReadableSpan]:
        return self._ended.get_finished_spans()


def item(*headers: tuple[str, bytes | None], offset: int = 0, value: bytes | None = b"{}") -> Item:
    return Item(Record("comments", 3, offset, None, None, value, headers), LEASE)


def traceparent_of(span: ReadableSpan) -> bytes:
    assert span.context is not None
    trace_id, span_id = format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)
    return f"00-{trace_id}-{span_id}-{span.context.trace_flags:02x}".encode()


def test_a_batch_has_one_span_named_and_described_by_the_messaging_conventions() -> None:
    tracing = Tracing()
    batch = Batch([item(offset=1), item(offset=2)])
    tracing.spans.taken(batch)
    assert tracing.ended() == ()
    tracing.spans.out(batch, batch.items)
    (span,) = tracing.ended()
    assert (span.name, span.kind, span.parent) == ("process comments", SpanKind.CONSUMER, None)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "comments",
        "messaging.consumer.group.name": "moderators",
        "messaging.batch.message_count": 2,
        "moderation.tagged": 2,
        "moderation.dead_letters": 0,
        "moderation.left_to_other_members": 0,
    }


def test_a_span_says_what_became_of_its_records() -> None:
    tracing = Tracing()
    batch = Batch([item(offset=offset) for offset in range(5)])
    tracing.spans.taken(batch)
    batch.items[0].refusal = Refusal(DeadLetterReason.TOMBSTONE, "")
    tracing.spans.out(batch, batch.items[:3])
    attributes = tracing.ended()[0].attributes or {}
    assert attributes["moderation.tagged"] == 2
    assert attributes["moderation.dead_letters"] == 1
    assert attributes["moderation.left_to_other_members"] == 2


def test_a_batch_that_was_let_go_ends_its_span_too() -> None:
    tracing = Tracing()
    batch = Batch([item()])
    tracing.spans.taken(batch)
    tracing.spans.out(batch, [])
    assert (tracing.ended()[0].attributes or {})["moderation.left_to_other_members"] == 1


def test_a_batch_that_holds_no_record_but_moves_offsets_is_no_fault() -> None:
    tracing = Tracing()
    batch = Batch([], {LEASE: 7})  # what the reading of a range ends with
    tracing.spans.taken(batch)
    tracing.spans.out(batch, [])
    assert (tracing.ended()[0].attributes or {})["messaging.batch.message_count"] == 0


def test_batches_that_overlap_keep_their_own_spans() -> None:
    tracing = Tracing()
    first, second = Batch([item()]), Batch([item(), item()])
    tracing.spans.taken(first)
    tracing.spans.taken(second)
    tracing.spans.out(first, first.items)
    tracing.spans.out(second, second.items)
    assert not tracing.spans._open, "a span that has ended would be kept for ever"
    counts = [(span.attributes or {})["messaging.batch.message_count"] for span in tracing.ended()]
    assert counts == [1, 2]
    assert len({span.context.trace_id for span in tracing.ended() if span.context}) == 2


def test_the_span_links_to_the_trace_that_each_record_brought_and_says_which_record() -> None:
    tracing = Tracing()
    state = ("tracestate", b"vendor=value")
    batch = Batch(
        [item(("traceparent", SAMPLED), state, offset=41), item(("traceparent", SAMPLED), offset=42, value=None)]
    )
    tracing.spans.taken(batch)
    tracing.spans.out(batch, batch.items)
    first, second = tracing.ended()[0].links
    for link in (first, second):
        assert (format_trace_id(link.context.trace_id), format_span_id(link.context.span_id)) == (TRACE_ID, SPAN_ID)
        assert link.context.is_remote
    assert first.context.trace_state.to_header() == "vendor=value"
    assert first.attributes == {"messaging.destination.partition.id": "3", "messaging.kafka.offset": 41}
    assert second.attributes == {
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 42,
        "messaging.kafka.message.tombstone": True,
    }


def test_a_full_batch_keeps_all_its_links_and_a_larger_one_the_first() -> None:
    tracing = Tracing(most_links=256)
    for count in (256, 300):
        batch = Batch([item(("traceparent", SAMPLED), offset=offset) for offset in range(count)])
        tracing.spans.taken(batch)
        tracing.spans.out(batch, batch.items)
    for span in tracing.ended():
        assert [(link.attributes or {})["messaging.kafka.offset"] for link in span.links] == list(range(256))


def test_only_records_without_a_trace_are_given_the_batch_s() -> None:
    tracing = Tracing()
    own, malformed, empty, none = (
        item(("traceparent", SAMPLED)),
        item(("traceparent", b"nonsense")),
        item(("traceparent", None)),
        item(("other", b"x")),
    )
    batch = Batch([own, malformed, empty, none])
    tracing.spans.taken(batch)
    tracing.spans.out(batch, batch.items)
    assert [list(one.added_headers) for one in (own, malformed, empty)] == [[], [], []]
    assert list(none.added_headers) == [("traceparent", traceparent_of(tracing.ended()[0]))]


def test_a_batch_that_is_not_sampled_makes_no_span_and_adds_nothing() -> None:
    tracing = Tracing(sampler=ALWAYS_OFF)
    batch = Batch([item(), item(("traceparent", SAMPLED))])
    tracing.spans.taken(batch)
    tracing.spans.out(batch, batch.items)
    tracing.spans.end_unfinished()
    assert tracing.ended() == ()
    assert [list(one.added_headers) for one in batch.items] == [[], []]


def test_what_did_not_come_out_ends_as_failed_and_only_once() -> None:
    tracing = Tracing()
    batch = Batch([item()])
    tracing.spans.taken(batch)
    tracing.spans.end_unfinished()
    tracing.spans.out(batch, batch.items)  # a stage that comes to its end after the deadline
    (span,) = tracing.ended()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "unfinished"


@pytest.mark.parametrize("value", [*MALFORMED, None, NOT_SAMPLED], ids=range(len(MALFORMED) + 2))
def test_a_trace_context_that_is_malformed_or_not_sampled_is_ignored(value: bytes | None) -> None:
    assert trace_of([("traceparent", value)]) is None


def test_a_malformed_tracestate_costs_only_itself() -> None:
    context = trace_of([("tracestate", b"\xff=,,,=\x00"), ("traceparent", SAMPLED)])
    assert context is not None
    assert format_trace_id(context.trace_id) == TRACE_ID
    assert len(context.trace_state) == 0


names = st.sampled_from(["traceparent", "tracestate", "Traceparent", ""])
values = st.one_of(st.none(), st.binary(max_size=80), st.sampled_from([SAMPLED, NOT_SAMPLED, *MALFORMED]))


@given(st.lists(st.tuples(names, values), max_size=6))
def test_no_headers_raise(headers: Headers) -> None:
    trace_of(headers)


def test_a_result_carries_the_batch_s_trace_and_a_dead_letter_nothing_but_its_own_headers() -> None:
    judge = Judge(tags_of=TAG_GROUPS.tags, model=ModelInfo(name="words", version="1"), policy=Policy())
    outputs = Outputs(results_topic="results", dead_letter_topic="dead", include_text=True, judge=judge)
    value = json.dumps({"id": "a", "text": "fine"}).encode()
    tagged, dead, kept = item(("n", b"1"), value=value), item(("n", b"2")), item(("traceparent", SAMPLED), value=value)
    tracing = Tracing()
    batch = Batch([tagged, dead, kept])
    tracing.spans.taken(batch)
    for one in (tagged, kept):
        one.comment = Decoded("a", "fine", is_cut=False, json=value, misfits=[])
        one.answer = Answer((0.2, 0.3, 0.5, 0.1), truncated=False)
    dead.refusal = Refusal(DeadLetterReason.NOT_THE_CONTRACT, "detail")
    messages = [outputs.message(one, "2026-01-01T00:00:00.000Z") for one in batch.items]
    tracing.spans.out(batch, batch.items)
    assert list(messages[0].headers) == [("n", b"1"), ("traceparent", traceparent_of(tracing.ended()[0]))]
    assert [name for name, _ in messages[1].headers if not name.startswith("dlq.")] == ["n"]
    assert list(messages[2].headers) == [("traceparent", SAMPLED)]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_off_it_is_free_and_on_without_its_libraries_it_says_what_to_install() -> None:
    printed = run_python(
        "import sys\n"
        "sys.modules['opentelemetry.sdk'] = None\n"  # as if the extra were not installed: FastAPI brings the API
        "from contextlib import ExitStack\n"
        "from consumer.services import open_services\n"
        "from consumer.settings import Settings\n"
        "from consumer.settings_parsing import SettingsError\n"
        "with ExitStack() as stack:\n"
        "    services = open_services(Settings(_env_file=None), lambda: False, stack)\n"
        "    print(len(services.observers), 'consumer.telemetry.spans' in sys.modules)\n"
        "    try:\n"
        "        open_services(Settings(_env_file=None, tracing=True), lambda: False, stack)\n"
        "    except SettingsError as error:\n"
        "        print(error)\n"
    )
    assert printed.splitlines() == [
        "1 False",
        'TRACING=true needs OpenTelemetry; run: pip install "comment-moderation-stream[otel]"',
    ]
