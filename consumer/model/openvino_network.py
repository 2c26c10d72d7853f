"""OpenVINO as what runs a model on a CPU: the same weights, faster."""

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

from consumer.model.device import pass_tokens
from consumer.model.packing import WIDTH_STEPS
from consumer.model.rows import OneTextARow, agrees, lay_out

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
_PREPARED_KEPT = 300
"""Of what is prepared for the shapes of micro-batches, some ten pieces a shape. The default of 5,000 took up to 200 MB,
and was no faster with shapes that return."""
_SIDE_BY_SIDE = 2
"""Passes that share the threads where there are more to run: threads wait for each other less, and least where other
work interrupts one of them. On two cores 1.10 times the texts per second where 256 were asked for, 1.08 in the stream;
a single pass would take a third longer, so the model is prepared both ways, which takes 80 MB and half a second more.
"""


class UnusableError(Exception):
    """OpenVINO cannot run this model, or not as PyTorch does."""


def is_installed() -> bool:
    """Whether the package openvino is there."""
    return find_spec("openvino") is not None


def can_run(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether OpenVINO is meant for this device and number format."""
    return device.type == "cpu" and dtype in _PRECISIONS


class OpenVinoNetwork:
    """A classifier as OpenVINO runs it; called by one thread, like the PyTorch module it was made from.

    Measured against PyTorch with the bundled model in bf16 on two cores: 1.5 times the texts per second where 256 are
    asked for, 1.6 for 16, 3 for one. It starts 3 s later.
    """

    backend = "openvino"
    device = torch.device("cpu")
    width_steps = WIDTH_STEPS
    pass_tokens = pass_tokens(device)
    alone_is_faster = True

    def __init__(self, network: OneTextARow, most_tokens: int, pad_id: int, last_id: int) -> None:
        """Convert `network`, a PyTorch module, with its weights in the number format they have: from fp32 it would
        be no faster and 78 MB larger. `most_tokens` of a text and ids up to `last_id` will come, `pad_id` as padding.
        Raises UnusableError.
        """
        # Its converter would report to its makers over the network; without this package it does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        self.dtype: torch.dtype = network.dtype
        self.shares_rows = network.shares_rows
        self.passes_at_once = 1 if torch.get_num_threads() % _SIDE_BY_SIDE else _SIDE_BY_SIDE + 1
        self._idle: list[Any] = []
        try:
            import openvino  # type: ignore[import-untyped]

            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # tracing warns of what is checked below
                example = tuple(lay_out([[[1, 2, 3], [4, 5]] if self.shares_rows else [[1, 2, 3]], [[6]]], 7, pad_id=0))
                # Shared weights would lie in memory of a PyTorch network that is let go: NaN, then a crash.
                model = openvino.convert_model(network, example_input=example, share_weights=False)
                options = {
                    "INFERENCE_PRECISION_HINT": _PRECISIONS[self.dtype],
                    "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                    # Pinned, the threads of all members on a machine would sit on its first cores (issue 32444).
                    "ENABLE_CPU_PINNING": False,
                    "CPU_RUNTIME_CACHE_CAPACITY": _PREPARED_KEPT,
                }
                on_all_threads = _core().compile_model(model, "CPU", options | {"PERFORMANCE_HINT": "LATENCY"})
                self._request = on_all_threads.create_infer_request()
                if self.passes_at_once > 1:
                    self._side_by_side = _core().compile_model(model, "CPU", options | {"NUM_STREAMS": _SIDE_BY_SIDE})
                agreed = agrees(self, network.classifier, most_tokens, pad_id, last_id)
        except Exception as error:
            raise UnusableError(type(error).__name__) from error
        if not agreed:
            raise UnusableError("its scores are not PyTorch's")

    def run(self, *laid_out: torch.Tensor) -> torch.Tensor:
        """Run one micro-batch, rows as they are laid out."""
        return _begin(self._request, laid_out)()

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin a pass on the threads of one of those that run side by side; it has a request of its own until it was
        waited for."""
        request = self._idle.pop() if self._idle else self._side_by_side.create_infer_request()
        begun = _begin(request, laid_out)

        def wait() -> torch.Tensor:
            logits = begun()
            self._idle.append(request)
            return logits

        return wait


def _begin(request: Any, laid_out: Sequence[torch.Tensor]) -> Callable[[], torch.Tensor]:
    from openvino import Tensor

    # Set one by one in 0.2 ms after a pause, where `start_async` takes 0.5 to sort them out itself.
    inputs = [Tensor(tensor.numpy(), shared_memory=True) for tensor in laid_out]
    for number, shared in enumerate(inputs):
        request.set_input_tensor(number, shared)
    request.kept_inputs = inputs  # until it has others: it has only their addresses
    # Not `infer`: where a pass fails (no memory, a text beyond a table), that of 2026.4 raises nothing and leaves the
    # output of the pass before, which would be taken for the answer.
    request.start_async()

    def wait() -> torch.Tensor:
        request.wait()
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    return wait


@cache
def _core() -> Any:
    """One for the process. Each sets a stack for signals and, when it is let go, puts back the one it found: that of
    another, which may be gone by then, and the next signal would end the process."""
    import openvino

    return openvino.Core()
