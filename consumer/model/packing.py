"""Packing tokenised texts into micro-batches."""

from collections.abc import Sequence


def pack(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Return the indices of `lengths` (tokens per text) as micro-batches, each sorted by length, shortest first.

    A micro-batch is padded to its longest text, so its cost is texts times longest; that stays within
    `max_batch_tokens`, unless a single text alone exceeds it. Every index comes exactly once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= max_batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
