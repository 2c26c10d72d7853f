"""OpenTelemetry traces, where they are wanted; off, nothing of it is imported here."""

from contextlib import ExitStack

from consumer.parts import Observer
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError


def open_tracing(settings: Settings, stack: ExitStack) -> Observer:
    """An observer that makes one span per batch and sends them by OTLP over HTTP; `stack` sends the last ones, for
    about two seconds at most, and lets go.

    Where to, as what and how many is OpenTelemetry's own to say, in the variables that its SDK documents:
    OTEL_EXPORTER_OTLP_…, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_…,
    OTEL_SPAN_LINK_COUNT_LIMIT, OTEL_SDK_DISABLED. Raises `SettingsError` when its libraries are missing, or when it
    refuses one of these.
    """
    try:
        from consumer.telemetry.span_export import open_tracer
        from consumer.telemetry.spans import BatchSpans
    except ModuleNotFoundError:
        raise SettingsError(
            'TRACING=true needs OpenTelemetry; run: pip install "comment-moderation-stream[otel]"'
        ) from None
    try:
        tracer, most_links = open_tracer(settings.max_batch_records, stack)
    except (ValueError, RuntimeError) as error:  # how the SDK refuses a variable: its message names it
        raise SettingsError(f"TRACING=true: OpenTelemetry does not take its settings: {error}") from None
    spans = BatchSpans(tracer, topic=settings.input_topic, group=settings.kafka_group_id, most_links=most_links)
    stack.callback(spans.end_unfinished)
    return spans
