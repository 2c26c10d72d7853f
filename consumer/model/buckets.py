"""Buckets: the few shapes of forward passes for which a GPU is prepared, and which of them holds a pass."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from consumer.model.packing import ROW_TOKENS, Widths

WIDTH_STEPS = 1
"""Widths are powers of two: a graph for each of more would cost more memory than padding costs time."""


class Bucket(NamedTuple):
    """So many rows, each of so many tokens, with so many texts in all at most."""

    rows: int
    tokens: int
    texts: int

    @property
    def numbers(self) -> int:
        """How many there are in the tensors of a `LaidOut`."""
        return 3 * self.rows * self.tokens + self.texts


class Buckets:
    """All buckets for passes within a token budget, or of one row."""

    def __init__(self, most_tokens: int, max_batch_tokens: int, *, shares_rows: bool) -> None:
        """A row has at most `most_tokens`. Rows that share texts are short only where there is just one of them."""
        self.most_tokens = most_tokens
        self._shares_rows = shares_rows
        self._widths = _powers_of_two(Widths(most_tokens, WIDTH_STEPS))
        only_alone_below = min(ROW_TOKENS, most_tokens) if shares_rows else 0
        self._counts = {
            tokens: _counts(max(1, max_batch_tokens // tokens)) if tokens >= only_alone_below else [1]
            for tokens in self._widths
        }

    def all(self) -> list[Bucket]:
        """Those with the most tokens first: the ones after can use the same memory."""
        every = [self._bucket(rows, tokens) for tokens in self._widths for rows in self._counts[tokens]]
        return sorted(every, key=lambda bucket: bucket.rows * bucket.tokens, reverse=True)

    def holding(self, rows: int, tokens: int, texts: int) -> Iterator[Bucket]:
        """Those with room for a pass: the narrowest first, and of these the ones of the fewest rows."""
        for width in self._widths[bisect_left(self._widths, tokens) :]:
            counts = self._counts[width]
            for count in counts[bisect_left(counts, rows) :]:
                bucket = self._bucket(count, width)
                if texts <= bucket.texts:
                    yield bucket

    def _bucket(self, rows: int, tokens: int) -> Bucket:
        # Of two tokens or more, as texts between special tokens are; else it is one of the passes that no bucket holds.
        return Bucket(rows, tokens, max(rows, rows * tokens // 2) if self._shares_rows else rows)


def _powers_of_two(widths: Widths) -> Sequence[int]:
    found = [widths.padded(1)]
    while found[-1] < widths.most:
        found.append(widths.padded(found[-1] + 1))
    return found


def _counts(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 and so on, and the most there can be: a sixth more in the mean."""
    found = {count for power in range(most.bit_length()) for count in (1 << power, 3 << power)}
    return sorted({most, *(count for count in found if count <= most)})
