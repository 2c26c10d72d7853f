"""The network of a model, made from its config and weights in memory: transformers is given no file to open."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from transformers import AutoModelForSequenceClassification, PretrainedConfig

from consumer.model.errors import ModelError, printable

_SPARE_NUMBERS = 10_000_000
"""What a network may hold beyond twice its weights: a fresh head and pooler, positions, tables that are computed."""


def network_of(config: PretrainedConfig, weights: Mapping[str, torch.Tensor], model: str) -> tuple[Any, dict[str, Any]]:
    """Return the classifier in fp32, and what transformers says about weights that it lacked or did not need.

    Raises ModelError for a config whose network could not have these weights, before memory is taken, and whatever
    transformers raises.
    """
    # An explicit None is transformers' own choice: sdpa where the network has it. A config may not choose.
    chosen: dict[str, Any] = {"attn_implementation": None, "experts_implementation": None}
    with torch.device("meta"), _no_larger_than(weights, model):
        outline: Any = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=False, **chosen
        )
    network, info = type(outline).from_pretrained(
        None,
        config=outline.config,
        state_dict=dict(weights),
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # said below, by name; transformers' own sentence points to its log
        local_files_only=True,
        **chosen,
    )
    for name, held, described in info["mismatched_keys"]:
        raise ModelError(
            f"the model {model} has weights {printable(name)} of shape {list(held)}, its config.json describes "
            f"{list(described)}; the two do not belong together, so download or save it again"
        )
    return network, info


@contextmanager
def _no_larger_than(weights: Mapping[str, torch.Tensor], model: str) -> Iterator[None]:
    """Stop making a network as soon as it has more numbers than its weights could fill."""
    held = sum(tensor.numel() for tensor in weights.values())
    most = 2 * held + _SPARE_NUMBERS
    made = 0

    def count(_module: Any, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal made
        made += 0 if tensor is None else tensor.numel()
        if made > most:
            raise ModelError(
                f"the model {model} has weights of {held:,} numbers, far too few for the network that its config.json "
                f"describes (seen at {printable(name)}); the two do not belong together, so download or save it again"
            )

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
