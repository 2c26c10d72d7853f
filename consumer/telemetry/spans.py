"""One span per batch, by OpenTelemetry's conventions for messaging, linked to the traces its records come from."""

from collections.abc import Sequence
from itertools import islice

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from consumer.batch import Batch, Headers, Item, Record

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the conventions that the names here are of; backends translate by it. They are not stable yet, so they
stand here and not in the SDK's package of them, which would rename them with an upgrade."""
PROCESS = "process"
TAGGED = "moderation.tagged"
DEAD_LETTERS = "moderation.dead_letters"
LEFT_TO_OTHERS = "moderation.left_to_other_members"

TRACE_CONTEXT = TraceContextTextMapPropagator()
TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
CARRIED = (TRACEPARENT, TRACESTATE)


class BatchSpans:
    """An observer of the pipeline. A span begins when its batch was read, and ends when the outcomes are in Kafka (or,
    with exactly-once, in the transaction).

    A record that brought a trace context keeps it: its result carries it on, and the span links to it. The result of
    one that brought none carries the span's, unless that was not sampled: it would lead nowhere, and make a subscriber
    that follows its parent's sampling throw away its own trace. Spans end on another thread than they begin on.
    """

    def __init__(self, tracer: Tracer, *, topic: str, group: str, most_links: int | None) -> None:
        """`topic` and `group` are what is read, and as whom; `most_links` is how many links a span can have, None = any
        number."""
        self._tracer = tracer
        self._topic = topic
        self._group = group
        self._most_links = most_links
        self._open: dict[Batch, Span] = {}

    def taken(self, batch: Batch) -> None:
        """Begin the batch's span, and let results that have no trace of their own carry it."""
        span = self._tracer.start_span(
            f"{PROCESS} {self._topic}",
            context=Context(),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": PROCESS,
                "messaging.operation.type": PROCESS,
                "messaging.destination.name": self._topic,
                "messaging.consumer.group.name": self._group,
                "messaging.batch.message_count": len(batch.items),
            },
        )
        if not span.is_recording():
            return
        self._open[batch] = span
        # Added after the start, so that a batch which is not sampled costs nothing; no sampler that can be set by a
        # variable looks at links.
        for record in islice((item.record for item in batch.items), self._most_links):
            context = trace_of(record.headers)
            if context is not None:
                span.add_link(context, _link_attributes(record))
        carried = _headers_of(span)
        for item in batch.items:
            if not any(name == TRACEPARENT for name, _ in item.record.headers):
                item.added_headers = carried

    def worked(self, stage: str, waited_s: float, took_s: float) -> None:
        """Nothing: the metrics have it."""

    def out(self, batch: Batch, held: Sequence[Item]) -> None:
        """End the batch's span with what became of its records."""
        span = self._open.pop(batch, None)
        if span is None:
            return
        dead_letters = sum(item.refusal is not None for item in held)
        span.set_attributes(
            {
                TAGGED: len(held) - dead_letters,
                DEAD_LETTERS: dead_letters,
                LEFT_TO_OTHERS: len(batch.items) - len(held),
            }
        )
        span.end()

    def end_unfinished(self) -> None:
        """End the spans of batches that did not come out, as failed: a stage died, or had no time left."""
        while self._open:
            _, span = self._open.popitem()
            span.set_attribute("error.type", "unfinished")
            span.set_status(StatusCode.ERROR, "the process ended first; its records are read again")
            span.end()


def trace_of(headers: Headers) -> SpanContext | None:
    """The W3C trace context that a record brought, if it is well-formed and sampled; never raises.

    The last header of a name counts. One that is not sampled is recorded nowhere, so a link would lead nowhere.
    """
    brought = {
        name: value.decode("ascii", "replace") for name, value in headers if name in CARRIED and value is not None
    }
    if TRACEPARENT not in brought:
        return None
    context = get_current_span(TRACE_CONTEXT.extract(brought, Context())).get_span_context()
    return context if context.is_valid and context.trace_flags.sampled else None


def _link_attributes(record: Record) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    if record.value is None:
        attributes["messaging.kafka.message.tombstone"] = True
    return attributes


def _headers_of(span: Span) -> Headers:
    carrier: dict[str, str] = {}
    TRACE_CONTEXT.inject(carrier, set_span_in_context(span, Context()))
    return [(name, value.encode()) for name, value in carrier.items()]
