"""A histogram that takes a batch's values at once."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from threading import Lock

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class BatchHistogram(Collector):
    """Exact counts, for what is measured once per comment; thread-safe, and a scrape sees whole batches only.

    prometheus_client's own histogram walks its buckets and takes two locks for each value, 0.8 to 1.6 µs a comment
    where all else that is counted takes 0.8. This one looks for the few buckets in the sorted values instead, with one
    lock: 0.04 µs a comment, in batches of 256.
    """

    def __init__(self, name: str, meaning: str, buckets: Sequence[float]) -> None:
        """`buckets` are the upper bounds, ascending, without infinity."""
        self._name = name
        self._meaning = meaning
        self._bounds = tuple(buckets)
        self._lock = Lock()
        self._at_most = [0] * len(self._bounds)
        self._count = 0
        self._sum = 0.0

    def observe_all(self, values: Sequence[float]) -> None:
        """Count every value."""
        ascending = sorted(values)
        at_most = [bisect_right(ascending, bound) for bound in self._bounds]
        total = sum(ascending)
        with self._lock:
            self._at_most = [before + more for before, more in zip(self._at_most, at_most, strict=True)]
            self._count += len(ascending)
            self._sum += total

    def collect(self) -> Iterable[Metric]:
        """What was counted so far."""
        with self._lock:
            at_most, count, total = self._at_most, self._count, self._sum
        buckets = [(str(float(bound)), float(n)) for bound, n in zip(self._bounds, at_most, strict=True)]
        yield HistogramMetricFamily(self._name, self._meaning, [*buckets, ("+Inf", float(count))], total)
