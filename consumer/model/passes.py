"""Forward passes over rows of texts, several side by side where what runs the model can do that."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

import torch

from consumer.model.packing import Widths, micro_batches
from consumer.model.rows import LaidOut, Row, Runner, lay_out

Logits = Callable[[], torch.Tensor]
"""Waits for a pass that has begun, and returns the logits of each text; to be called once."""


class Passes:
    """Runs rows; belongs to the thread that classifies."""

    def __init__(self, runner: Runner, pad_id: int, most_tokens: int) -> None:
        """A text has at most `most_tokens`; rows are padded with `pad_id`."""
        self.runner = runner
        self._pad_id = pad_id
        self._most_tokens = most_tokens
        self._in_flight = 0

    def micro_batches(self, lengths: Sequence[int], max_batch_tokens: int) -> list[list[list[int]]]:
        """Return the indices of `lengths` (tokens per text) as micro-batches of rows of texts."""
        at_once = self.runner.passes_at_once
        if at_once > 1 and self.runner.alone_is_faster and 2 * sum(lengths) > at_once * max_batch_tokens:
            max_batch_tokens //= 2  # shorter passes end together more nearly, and let others in as often
        return micro_batches(
            lengths,
            widths=self._widths(),
            max_batch_tokens=max_batch_tokens,
            pass_tokens=self.runner.pass_tokens,
            shares_rows=self.runner.shares_rows,
        )

    def at_once(self, passes: int) -> int:
        """How many of a job's passes should have begun; beside another job, an equal share."""
        most = self.runner.passes_at_once
        return most if passes > most or self._in_flight or not self.runner.alone_is_faster else 1

    def begin(self, rows: Sequence[Row]) -> Logits | None:
        """Begin a pass beside others; None where it cannot be begun, so that it fails when it is run."""
        try:
            logits = self.runner.begin(*self._laid_out(rows))
        except Exception:
            return None
        self._in_flight += 1
        return partial(self._wait, logits)

    def run(self, rows: Sequence[Row]) -> torch.Tensor:
        """Run one pass on all threads, or beside those of another job that are in flight: two sets of threads would
        take the processors from whoever answers HTTP callers. Raises whatever the model raises."""
        laid_out = self._laid_out(rows)
        return self.runner.begin(*laid_out)() if self._in_flight else self.runner.run(*laid_out)

    def padded_tokens(self, rows: Sequence[Row]) -> int:
        """How many tokens a pass over `rows` takes, with their padding."""
        return len(rows) * self._width(rows)

    def _wait(self, logits: Logits) -> torch.Tensor:
        self._in_flight -= 1
        return logits()

    def _laid_out(self, rows: Sequence[Row]) -> LaidOut:
        return lay_out(rows, self._width(rows), self._pad_id)

    def _width(self, rows: Sequence[Row]) -> int:
        return self._widths().padded(max(sum(map(len, row)) for row in rows))

    def _widths(self) -> Widths:
        return Widths(self._most_tokens, self.runner.width_steps)


def abandon(begun: Iterable[Logits | None]) -> None:
    """Wait for passes whose answers nobody wants any more: they still read what they were given."""
    for logits in begun:
        with suppress(Exception):
            logits and logits()
