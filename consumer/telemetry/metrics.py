"""Counts what happens, for Prometheus to fetch."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from consumer import __version__
from consumer.answer import ModelPass
from consumer.batch import Batch, Item
from consumer.telemetry import metric_defs as defs
from consumer.telemetry.batch_histogram import BatchHistogram
from consumer.telemetry.metric_defs import MetricDef
from schemas import DeadLetterReason

Values = Mapping[tuple[str, ...], float]
"""By the values of a gauge's labels, in their order."""

HTTP_FAILURES = ("429", "500", "503", "504")
CIRCUITS_OPEN = {"open": ("reads", "writes"), "writes-open": ("writes",)}
"""By the cache's state; in every other state none is."""

MOST_AGE_S = 30 * 86_400.0
"""A record's timestamp may be any 64-bit number that a producer has set: one of 1970 would drown a histogram's sum."""


class CacheState(Protocol):
    """How the shared cache is."""

    @property
    def state(self) -> str:
        """`closed`, `open`, `writes-open` or `memory-only`."""
        ...


class AlarmState(Protocol):
    """How the dead-letter alarm is."""

    @property
    def degraded(self) -> bool:
        """Whether it has rung."""
        ...

    @property
    def paused(self) -> bool:
        """Whether nothing is read."""
        ...

    @property
    def share(self) -> float:
        """The share of dead letters, 0 to 1."""
        ...


class AssignmentState(Protocol):
    """What this member holds."""

    def partitions(self) -> Sequence[object]:
        """The partitions held."""
        ...


class _Gauges(Collector):
    """Gauges that are read when Prometheus asks, in the order of their definitions."""

    def __init__(self) -> None:
        self.read: dict[MetricDef, Callable[[], Values]] = {}

    def collect(self) -> Iterable[Metric]:
        for definition in defs.ALL:
            if read := self.read.get(definition):
                family = GaugeMetricFamily(definition.name, definition.meaning, labels=definition.labels)
                for labels, value in read().items():
                    family.add_metric(labels, value)
                yield family

    def describe(self) -> Iterable[Metric]:
        return []


class Metrics:
    """One process's metrics, in a registry of their own; thread-safe. It is an observer of the pipeline.

    What changes by itself (lag, circuits, queues) is read at the moment it is asked for, by the functions given to
    `watch_…`; those must neither block nor raise.
    """

    def __init__(self) -> None:
        # For every counter and histogram the moment it was made would be shown too: more series, for nobody.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        prometheus.PlatformCollector(registry=self.registry)
        prometheus.GCCollector(registry=self.registry)
        self._gauges = _Gauges()
        self.registry.register(self._gauges)
        self._end_to_end = BatchHistogram(defs.END_TO_END.name, defs.END_TO_END.meaning, defs.END_TO_END.buckets)
        self.registry.register(self._end_to_end)
        self._metrics = {d: _made(d, self.registry) for d in defs.ALL if d.kind != "gauge" and d is not defs.END_TO_END}
        self._pass_ended_s = 0.0
        self._in_flight = 0
        self._lock = Lock()
        self._gauges.read[defs.IN_FLIGHT] = lambda: {(): self._in_flight}

    # The pipeline's observer.

    def taken(self, batch: Batch) -> None:
        """A batch was read."""
        with self._lock:
            self._in_flight += len(batch.items)

    def worked(self, stage: str, waited_s: float, took_s: float) -> None:
        """A stage is done with a batch."""
        self._metrics[defs.QUEUE].labels(stage).observe(waited_s)
        self._metrics[defs.STAGE].labels(stage).observe(took_s)

    def out(self, batch: Batch, held: Sequence[Item]) -> None:
        """A batch has left the pipeline; counted as read only now, so that read = published + left to others."""
        with self._lock:
            self._in_flight -= len(batch.items)
        self._metrics[defs.COMMENTS_READ].inc(len(batch.items))
        self._metrics[defs.LEFT_TO_OTHERS].inc(len(batch.items) - len(held))
        self._metrics[defs.BATCH_COMMENTS].observe(len(batch.items))
        self._end_to_end.observe_all(_ages_s(held, time.time()))
        tagged = [(item.answered_by, item.verdict) for item in held if item.verdict is not None]
        self._count(defs.DEAD_LETTERS, ((item.refusal.reason.value,) for item in held if item.refusal is not None))
        self._count(defs.MISFITS, ((field,) for item in held if item.comment for field in item.comment.misfits))
        self._count(defs.ANSWERS, ((layer,) for layer, _ in tagged))
        self._count(defs.DECISIONS, ((verdict.decision.action,) for _, verdict in tagged))
        self._count(defs.TAGS, ((group, tag.label) for _, verdict in tagged for group, tag in verdict.tags.items()))

    # The parts.

    def model_pass(self, done: ModelPass) -> None:
        """The model has run once. Of passes side by side each counts from the end of the one before, so that all
        together take no longer than what passed. Called on the thread that classifies."""
        self._metrics[defs.PASS_TEXTS].observe(done.texts)
        self._metrics[defs.PASS_TOKENS].observe(done.padded_tokens)
        self._metrics[defs.PASS_SECONDS].observe(done.ended_s - max(done.began_s, self._pass_ended_s))
        self._pass_ended_s = done.ended_s
        self._metrics[defs.PADDING_TOKENS].inc(done.padded_tokens - done.tokens)

    def checkpointed(self, took_s: float) -> None:
        """Outcomes are durable."""
        self._metrics[defs.CHECKPOINT].observe(took_s)

    def replaced(self, reason: DeadLetterReason) -> None:
        """A tagged comment became a dead letter after all."""
        self._metrics[defs.DEAD_LETTERS].labels(reason.value).inc()

    def set_build(self, *, model: str, model_version: str, policy_version: str) -> None:
        """Say what runs."""
        labels = (__version__, model, model_version, policy_version)
        self._gauges.read[defs.BUILD] = lambda: {labels: 1}

    def expect_tags(self, label_names: Mapping[str, Iterable[str]]) -> None:
        """Show every label of the model's tag groups as 0 until it is given."""
        for group, names in label_names.items():
            for name in names:
                self._metrics[defs.TAGS].labels(group, name)

    # HTTP.

    def expect_failures(self, routes: Iterable[str]) -> None:
        """Show the failures that alerts look for as 0 on these routes until they come: `rate` sees no first burst."""
        for route in routes:
            for status in HTTP_FAILURES:
                self._metrics[defs.HTTP_REQUESTS].labels(route, status)

    def http_request(self, route: str, status: int, took_s: float) -> None:
        """An HTTP request was answered; `route` is the route's pattern, not the caller's path."""
        self._metrics[defs.HTTP_REQUESTS].labels(route, str(status)).inc()
        self._metrics[defs.HTTP_SECONDS].labels(route).observe(took_s)

    def http_texts(self, layers: Iterable[str]) -> None:
        """Texts were answered for an HTTP caller, each by one of these layers."""
        self._count(defs.HTTP_TEXTS, ((layer,) for layer in layers))

    # What is read when Prometheus asks.

    def watch_queue(self, waiting_texts: Callable[[], int]) -> None:
        """Show how many texts of HTTP callers wait."""
        self._gauges.read[defs.HTTP_WAITING] = lambda: {(): waiting_texts()}

    def watch_assignment(self, assignment: AssignmentState) -> None:
        """Show how many partitions this member holds."""
        self._gauges.read[defs.ASSIGNED] = lambda: {(): len(assignment.partitions())}

    def watch_lag(self, lag: Callable[[], Mapping[tuple[str, int], int]]) -> None:
        """Show the lag by (topic, partition)."""
        self._gauges.read[defs.LAG] = lambda: {(t, str(p)): records for (t, p), records in lag().items()}

    def watch_cache(self, cache: CacheState) -> None:
        """Show which circuits are open."""
        self._gauges.read[defs.CACHE_OPEN] = lambda: {
            (circuit,): float(circuit in CIRCUITS_OPEN.get(cache.state, ())) for circuit in defs.CIRCUITS
        }

    def watch_alarm(self, alarm: AlarmState) -> None:
        """Show the share of dead letters, and what it set off."""
        self._gauges.read[defs.DEAD_LETTER_SHARE] = lambda: {(): alarm.share}
        self._gauges.read[defs.DEAD_LETTER_ALARM] = lambda: {(): float(alarm.degraded)}
        self._gauges.read[defs.PAUSED] = lambda: {(): float(alarm.paused)}

    def _count(self, definition: MetricDef, label_values: Iterable[tuple[str, ...]]) -> None:
        """Count each of these by its labels; one step of the counter for all that are equal."""
        for values, count in Tally(label_values).items():
            self._metrics[definition].labels(*values).inc(count)


def _ages_s(items: Sequence[Item], now_s: float) -> list[float]:
    """How long ago the records were written, of those that say it; 0 where a producer's clock is ahead of ours."""
    ages_s = [now_s - stamp_ms / 1000 for item in items if (stamp_ms := item.record.timestamp_ms) is not None]
    if ages_s and (min(ages_s) < 0.0 or max(ages_s) > MOST_AGE_S):  # seldom, and 0.15 µs a comment
        return [min(max(age_s, 0.0), MOST_AGE_S) for age_s in ages_s]
    return ages_s


def _made(definition: MetricDef, registry: CollectorRegistry) -> Any:
    name, meaning, labels = definition.name, definition.meaning, definition.labels
    metric: Any
    if definition.kind == "counter":
        metric = prometheus.Counter(name, meaning, labels, registry=registry)
    else:
        metric = prometheus.Histogram(name, meaning, labels, registry=registry, buckets=definition.buckets)
    for value in definition.values:
        metric.labels(value)
    return metric
