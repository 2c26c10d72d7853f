"""Packing tokenised texts into micro-batches of few different shapes.

What runs a model prepares itself for each shape, which on two cores takes OpenVINO 3 ms, as much as 50 tokens. With
shapes that return, it did 10 to 13 % more texts where 256 were packed, 15 to 18 % more of 16, and 30 % more of single
ones than with each micro-batch as large as it happened to be.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

ROW_TOKENS, SHORT_PASS_ROW_TOKENS = 64, 128
"""How long a row may become by what is added to it. Attention compares each token with its whole row: at 384 dimensions
a token took two cores 57 µs in rows of 64, 60 in rows of 128 and 71 in rows of 256."""
WIDTH_STEPS = 8
_LEAST_TOKENS_STEP = 4
_COUNTS_STEPS = 4  # between a power of two and the next


class Widths(NamedTuple):
    """What rows are padded to: at most `most` tokens, with `steps` widths between a power of two and the next.

    With 8, comments are 6 % longer in the mean.
    """

    most: int
    steps: int = WIDTH_STEPS

    def padded(self, tokens: int) -> int:
        """The width of a row that holds so many."""
        step = max(_LEAST_TOKENS_STEP, _step(tokens, self.steps))
        return min(self.most, -(-tokens // step) * step)


def micro_batches(
    lengths: Sequence[int],
    *,
    widths: Widths,
    max_batch_tokens: int,
    pass_tokens: int,
    shares_rows: bool,
) -> list[list[list[int]]]:
    """Return the indices of `lengths` (tokens per text) as micro-batches of rows of texts. Every index comes exactly
    once; the limits are those of `pack`."""
    rows = share(lengths, widths, max_batch_tokens) if shares_rows else [[index] for index in range(len(lengths))]
    of_rows = [widths.padded(sum(lengths[index] for index in row)) for row in rows]
    return [[rows[position] for position in batch] for batch in pack(of_rows, max_batch_tokens, pass_tokens)]


def share(lengths: Sequence[int], widths: Widths, max_batch_tokens: int) -> list[list[int]]:
    """Return the indices of `lengths` as rows, by best fit: the longest text first, each to where the least room stays.

    What fits into one micro-batch is spread over fewer and longer rows than there would be otherwise, all equally long.
    """
    several_passes = sum(lengths) > max_batch_tokens
    most = min(widths.most, max(1, max_batch_tokens), ROW_TOKENS if several_passes else SHORT_PASS_ROW_TOKENS)
    while most > 1 and widths.padded(most) > max_batch_tokens:
        most -= 1
    total = sum(length for length in lengths if length <= most)
    wanted = max(1, ceil(total / most))
    capacity = Widths(most, widths.steps).padded(max(1, ceil(total / wanted)))
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    most_room = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[index]
        room = next((room for room in range(length, most_room + 1) if with_room.get(room)), None)
        if room is None:
            padded = widths.padded(length)
            row, room = len(rows), max(capacity, padded) if padded <= max_batch_tokens else length
            rows.append([])
        else:
            row = with_room[room].pop()
        rows[row].append(index)
        with_room.setdefault(room - length, []).append(row)
        most_room = max(most_room, room - length)
    return rows


def pack(widths: Sequence[int], max_batch_tokens: int, pass_tokens: int) -> list[list[int]]:
    """Return the indices of `widths` (padded tokens per row) as micro-batches, each sorted by width, narrowest first.

    A micro-batch is padded to its widest row, so its cost is rows times widest; that stays within `max_batch_tokens`,
    unless a single row alone exceeds it. A wider row begins the next micro-batch where padding the ones before to its
    width would cost more than another forward pass, `pass_tokens`. Every index comes exactly once.

    How many rows a micro-batch has is of few numbers too, where those beyond fit into the next one.
    """

    def fit(count: int, tokens: int, widest: int) -> bool:
        return not count or ((count + 1) * widest <= max_batch_tokens and count * widest - tokens <= pass_tokens)

    batches: list[list[int]] = []
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(widths)), key=widths.__getitem__):
        widest = widths[index]
        if not fit(len(batch), tokens, widest):
            rest = batch[_full(len(batch)) :]
            tokens = sum(widths[left] for left in rest)
            if not fit(len(rest), tokens, widest):
                rest, tokens = [], 0  # it would be a pass of its own, which costs more than a new shape
            batches.append(batch[: len(batch) - len(rest)])
            batch = rest
        batch.append(index)
        tokens += widest
    return [*batches, batch] if batch else batches


def _full(count: int) -> int:
    """The next number of rows below, of which there are few."""
    return count - count % _step(count, _COUNTS_STEPS)


def _step(number: int, steps: int) -> int:
    """Between the power of two below `number` and the next one there are so many steps."""
    return max(1, (1 << (number.bit_length() - 1)) // steps)
