"""Choosing what runs a loaded model, and making it ready there."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
import torch

from consumer.model.buckets import Buckets
from consumer.model.cuda_lane import CudaLane
from consumer.model.errors import ModelError, first_line
from consumer.model.graphs import GraphedNetwork, Lane
from consumer.model.openvino_network import OpenVinoNetwork, UnusableError, can_run, is_installed
from consumer.model.rows import OneTextARow, Runner, agrees, in_rows
from consumer.model.token_budget import is_out_of_memory

log = structlog.get_logger()

NICENESS = 10
"""Of OpenVINO's threads, 19 at most: a tenth of the weight of the others, where processors are scarce. Without it at
three times the capacity refusals took seconds, and health 3 s, on two cores; the stream does as many comments with it.
"""


def prepare(
    network: Any,
    model: str,
    device: torch.device,
    dtype: torch.dtype,
    backend: str,
    *,
    most_tokens: int,
    max_batch_tokens: int,
    pad_id: int,
    last_id: int,
) -> Runner:
    """Return what runs `network`, a PyTorch classifier, on `device` in `dtype`.

    `backend` is "torch", "openvino", or "auto": graphs on an NVIDIA GPU, else OpenVINO where it is installed and meant
    for this, and either only where it agrees with PyTorch on texts of up to `most_tokens` tokens; OpenVINO also with
    ids up to `last_id`.
    Raises ModelError where the wanted one cannot run the model, or memory is short.
    """
    if backend == "openvino":
        _require_openvino(device, dtype)
    try:
        network.to(device=device, dtype=dtype).eval().requires_grad_(False)
        running = in_rows(network, most_tokens, pad_id)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"the model {model} does not fit into the memory of {device}; see what else uses it "
            "(nvidia-smi lists the processes on a GPU), or set MODEL_DEVICE to another device"
        ) from error
    if backend == "openvino" or (backend == "auto" and is_installed() and can_run(device, dtype)):
        try:
            return _with_patient_threads(partial(OpenVinoNetwork, running, most_tokens, pad_id, last_id))
        except UnusableError as error:
            if backend == "openvino":
                raise ModelError(f"OpenVINO cannot run the model {model}: {error}; use MODEL_BACKEND=torch") from error
            log.info("openvino_not_used", model=model, reason=str(error), meaning="PyTorch runs the model")
    if backend == "auto" and device.type == "cuda":
        buckets = Buckets(most_tokens, max_batch_tokens, shares_rows=running.shares_rows)
        return with_graphs(running, partial(CudaLane, device), buckets, pad_id)
    return running


def with_graphs(running: OneTextARow, make_lane: Callable[[], Lane], buckets: Buckets, pad_id: int) -> Runner:
    """Return what runs `running` as graphs, or `running` itself where that fails or does not agree with it."""
    try:
        graphed = GraphedNetwork(running, make_lane(), buckets, pad_id)
        # Not with the last id: where a table lacks it a GPU would be lost for this process, whoever launches.
        if agrees(graphed, running.classifier, buckets.most_tokens, pad_id):
            return graphed
        reason = "its scores are not PyTorch's"
    except Exception as error:  # capturing is strict: what a model may not do meanwhile, it may do otherwise
        reason = f"{type(error).__name__}: {first_line(error)}"  # it saw no texts of anybody
    log.warning(
        "cuda_graphs_not_used",
        reason=reason,
        meaning="PyTorch launches every kernel by itself, which is slower",
        remedy="with MODEL_BACKEND=torch it is not tried, and leaves nothing behind in the GPU's memory",
    )
    return running


def _with_patient_threads(make: Callable[[], OpenVinoNetwork]) -> OpenVinoNetwork:
    """Make it, and with it its threads, of a priority that lets all others of this process go first: what they do is
    short, and a flood of HTTP callers whom nobody refuses grows without end. On Linux, where threads have priorities
    of their own and those they start inherit them; nobody can raise one again, so a thread of its own does it.
    """
    with ThreadPoolExecutor(1, initializer=_be_patient) as executor:
        return executor.submit(make).result()


def _be_patient() -> None:
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it; a process that is as patient already may not go back
            os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def _require_openvino(device: torch.device, dtype: torch.dtype) -> None:
    if not is_installed():
        raise ModelError(
            'MODEL_BACKEND is "openvino", which is not installed; run: pip install '
            '"comment-moderation-stream[openvino]", or use MODEL_BACKEND=auto'
        )
    if not can_run(device, dtype):
        number_format = str(dtype).removeprefix("torch.")
        raise ModelError(
            f'MODEL_BACKEND is "openvino", which runs float32 and bfloat16 on a CPU, not {number_format} on {device}; '
            "use MODEL_BACKEND=auto, or MODEL_DEVICE=cpu with one of these"
        )
