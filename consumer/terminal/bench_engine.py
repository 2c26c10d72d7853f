"""How fast the model itself is, by how many texts it gets at once."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from consumer.answer import Answer, Unanswerable
from consumer.terminal.bench_figures import Measured, measured

BATCH_SIZES = (1, 4, 16, 64, 256)


class MeasuredEngine(Protocol):
    """What is measured."""

    def model_text(self, text: str) -> str:
        """The text as the model sees it."""
        ...

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        """One answer per text."""
        ...


def engine_rates(
    engine: MeasuredEngine,
    texts: Iterator[str],
    *,
    rounds: int,
    seconds_each: float,
    sizes: Sequence[int] = BATCH_SIZES,
    on_progress: Callable[[float], None] = lambda _: None,
) -> dict[int, Measured]:
    """Comments per second of `classify` for batches of each size: the median of `rounds` measurements of at least
    `seconds_each` and one batch. Blocks; `on_progress` is told the seconds that passed.

    All sizes take their turn in every round, so that a busy minute of the machine falls on all of them.
    """
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            rate, took_s = _rate_per_s(engine, texts, size, seconds_each)
            rates[size].append(rate)
            on_progress(took_s)
    return {size: measured(found) for size, found in rates.items()}


def _rate_per_s(engine: MeasuredEngine, texts: Iterator[str], size: int, at_least_s: float) -> tuple[float, float]:
    """The rate, and the seconds it took to measure. Cleaning the texts is another thread's work in the stream: it does
    not count."""
    comments, took_s = 0, 0.0
    while took_s < at_least_s:
        batch = [engine.model_text(text) for text in islice(texts, size)]
        began_s = time.perf_counter()
        engine.classify(batch)
        took_s += time.perf_counter() - began_s
        comments += size
    return comments / took_s, took_s
