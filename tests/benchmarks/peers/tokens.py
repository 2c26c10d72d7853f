"""Texts as padded batches of tokens, from the longest to the shortest: the same for every peer that runs the network
itself.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

MAX_TOKENS = 512
BATCH_TEXTS = 32
BATCH_TOKENS = 1_024


class Batch(NamedTuple):
    """Inputs of the network, and which texts they are."""

    indices: list[int]
    inputs: dict[str, Any]


def by_count(_longest: int) -> int:
    """32 texts in a batch, however long they are."""
    return BATCH_TEXTS


def by_tokens(longest: int) -> int:
    """As many texts in a batch as make 1,024 tokens with their padding."""
    return BATCH_TOKENS // longest


def reader(model: str) -> Tokenizer:
    """The model's tokenizer, which truncates and does not pad."""
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def batches(tokenizer: Tokenizer, texts: Sequence[str], most: Callable[[int], int] = by_count) -> list[Batch]:
    """The texts in batches of `most(tokens of the longest in the batch)`, each padded to its longest."""
    tokens = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]), reverse=True)
    found = []
    while order:
        count = max(1, most(len(tokens[order[0]])))
        found.append(Batch(order[:count], _padded([tokens[index] for index in order[:count]])))
        order = order[count:]
    return found


def in_order(answered: Sequence[tuple[list[int], Any]]) -> list[list[float]]:
    """Rows of logits, each with the index of its text, in the order of the texts."""
    rows = {index: row for indices, logits in answered for index, row in zip(indices, logits.tolist(), strict=True)}
    return [rows[index] for index in range(len(rows))]


def _padded(rows: list[list[int]]) -> dict[str, Any]:
    ids = np.zeros((len(rows), len(rows[0])), dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
