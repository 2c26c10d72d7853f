"""OpenTelemetry's SDK, set up so that it can neither hold up the stream nor flood its logs."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Thread

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_SPAN_LINK_COUNT_LIMIT,
)
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

from consumer import __version__
from consumer.telemetry.spans import SCHEMA_URL

log = structlog.get_logger()

DEFAULT_SERVICE_NAME = "comment-moderation-stream"
MOST_LINKS = 1_024
"""Links of one span, whatever MAX_BATCH_RECORDS is. The SDK's own limit, 128, would lose half of an ordinary batch's;
100,000, the largest batch, would be a span of 11 MB, and 100 MB in memory while it waits."""
MOST_WAITING_SPANS = 128
"""A span of 256 links takes 274 kB: the SDK's default, 2,048, would grow to half a gigabyte while the collector is
down."""
MOST_SPANS_PER_REQUEST = 32
"""Such a span is 28 kB on the wire: the SDK's default, 512, would make requests of 15 MB; a collector takes 20 MB, and
less where somebody set less."""
CLOSE_WAIT_S = 2.0


def open_tracer(max_batch_records: int, stack: ExitStack) -> tuple[Tracer, int | None]:
    """A tracer, and how many links a span of it can have (None = any number); `stack` sends what is left.

    Raises `ValueError` or `RuntimeError` when an OTEL_… variable cannot be used.
    """
    own_limit = None if OTEL_SPAN_LINK_COUNT_LIMIT in os.environ else min(max_batch_records, MOST_LINKS)
    limits = SpanLimits(max_links=own_limit)
    provider = TracerProvider(resource=_resource(), span_limits=limits, shutdown_on_exit=False)
    exporter = _ReportingExporter(OTLPSpanExporter())
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_unless_set(OTEL_BSP_MAX_QUEUE_SIZE, MOST_WAITING_SPANS),
            max_export_batch_size=_unless_set(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, MOST_SPANS_PER_REQUEST),
        )
    )
    stack.callback(_close, provider, exporter)
    # Only now: what the SDK says about its settings is for the person who starts this.
    sdk_log = logging.getLogger("opentelemetry")
    sdk_log.handlers, sdk_log.propagate = [_SdkLog(exporter)], False
    tracer = provider.get_tracer("consumer", __version__, SCHEMA_URL)
    return tracer, limits.max_links


def _unless_set(variable: str, value: int) -> int | None:
    """None lets the SDK read its variable."""
    return None if variable in os.environ else value


def _resource() -> Resource:
    """What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, and our name and version where they say nothing."""
    resource = Resource({SERVICE_VERSION: __version__}).merge(Resource.create())
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME}))
    return resource


def _close(provider: TracerProvider, exporter: "_ReportingExporter") -> None:
    """Send what is left; a collector that hangs may hold up the end for `CLOSE_WAIT_S`, where the SDK would wait for
    30 seconds."""
    closing = Thread(target=provider.shutdown, name="traces-close", daemon=True)
    closing.start()
    closing.join(CLOSE_WAIT_S)
    if closing.is_alive():
        exporter.shutdown()  # ends its waiting between two tries; a request under way ends with the process
        log.warning("traces_lost", meaning=f"the last spans were not sent within {CLOSE_WAIT_S:g} s")


class _ReportingExporter(SpanExporter):
    """Sends spans, and says once when that begins to fail and once when it works again. It never raises."""

    def __init__(self, otlp: SpanExporter) -> None:
        self._otlp = otlp
        self._closed = False
        self.failing = False
        self.reason = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.reason = ""
        try:
            result = self._otlp.export(spans)
        except Exception as error:
            self.reason, result = type(error).__name__, SpanExportResult.FAILURE
        failing = result is not SpanExportResult.SUCCESS
        if failing != self.failing and not self._closed:
            self.failing = failing
            self._report()
        return result

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            self._otlp.shutdown()

    def _report(self) -> None:
        if self.failing:
            log.warning(
                "traces_not_sent",
                reason=self.reason or "not taken within OTEL_EXPORTER_OTLP_TIMEOUT",
                remedy="check that a collector takes OTLP over HTTP where OTEL_EXPORTER_OTLP_ENDPOINT says "
                "(http://localhost:4318 unless set); comments are tagged all the same",
            )
        else:
            log.info("traces_sent_again")


class _SdkLog(logging.Handler):
    """Takes the SDK's own log lines: one per failed try, per dropped span, per malformed header, which it quotes.

    What failed is kept for our one line: the class of an error or the status of an answer, as messages may name keys.
    """

    def __init__(self, exporter: _ReportingExporter) -> None:
        super().__init__(logging.WARNING)
        self._exporter = exporter
        self._dropped = False

    def emit(self, record: logging.LogRecord) -> None:
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, Exception):
                self._exporter.reason = type(value).__name__
            elif isinstance(value, int) and record.name.startswith("opentelemetry.exporter"):
                self._exporter.reason = f"HTTP status {value}"
        queue_is_full = record.name == "opentelemetry.sdk._shared_internal" and record.levelno == logging.WARNING
        if queue_is_full and not self._dropped and not self._exporter.failing:
            self._dropped = True  # said once: it would be said for every span from now on
            log.warning(
                "traces_dropped",
                reason="the collector is slower than the stream",
                remedy=f"sample with OTEL_TRACES_SAMPLER, or raise {OTEL_BSP_MAX_QUEUE_SIZE}",
            )
