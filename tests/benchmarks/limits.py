"""What the machine could do at most: its matrix multiplication, against what the model needs of it for a text."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from consumer.model.device import choose_dtype

CPU = torch.device("cpu")
ROWS = 1_024
"""Tokens of a matrix: as many as the batches of the bare forward pass have."""
MULTIPLICATIONS = 200


def gemm_flops_per_s(config: Any, device: torch.device = CPU) -> float:
    """Of the model's own largest multiplication, in the number format that is fastest on `device`."""
    dtype = choose_dtype("auto", device)
    tokens = torch.randn(ROWS, config.hidden_size, dtype=dtype, device=device)
    weights = torch.randn(config.hidden_size, config.intermediate_size, dtype=dtype, device=device)
    torch.mm(tokens, weights).cpu()  # prepares the shape
    began_s = time.perf_counter()
    for _ in range(MULTIPLICATIONS):
        product = torch.mm(tokens, weights)
    product[0, 0].item()  # a GPU has only been told so far
    flops = 2 * ROWS * config.hidden_size * config.intermediate_size * MULTIPLICATIONS
    return float(flops) / (time.perf_counter() - began_s)


def flops_per_text(config: Any, token_counts: Sequence[int]) -> float:
    """The multiplications and additions of an encoder's layers, a text, on average over texts of so many tokens.

    A token passes four square matrices and the two of the feed-forward block; and every token is compared to, and
    mixed from, every other of its text.
    """
    hidden = config.hidden_size
    matrices = 4 * hidden * hidden + 2 * hidden * config.intermediate_size
    flops = sum(2 * count * matrices + 4 * count * count * hidden for count in token_counts)
    return float(config.num_hidden_layers * flops / len(token_counts))
