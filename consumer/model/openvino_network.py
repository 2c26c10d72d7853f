"""OpenVINO as what runs a model on a CPU: the same weights, faster."""

import sys
import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
_LONGEST_TRIED = 512
_PREPARED_KEPT = 300
"""Of what is prepared for the shapes of micro-batches, some ten pieces a shape: 26 MB. The default of 5,000 took up to
200 MB, and was no faster with shapes that return."""
_MOST_DIFFERENCE = {torch.float32: 0.001, torch.bfloat16: 0.05}
"""Of a logit, as a share of the largest: what rounding may do. A shape that was fixed by mistake does more."""


class UnusableError(Exception):
    """OpenVINO cannot run this model, or not as PyTorch does."""


class Output(NamedTuple):
    """What a forward pass returns: logits in fp32, shape (texts, logits)."""

    logits: torch.Tensor


def is_installed() -> bool:
    """Whether the package openvino is there."""
    return find_spec("openvino") is not None


def can_run(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether OpenVINO is meant for this device and number format."""
    return device.type == "cpu" and dtype in _PRECISIONS


class OpenVinoNetwork:
    """A classifier as OpenVINO runs it; called by one thread, like the PyTorch module it was made from.

    Measured against PyTorch with the bundled model in bf16 on two cores, in milliseconds a text of 29 tokens: 4.9
    against 12.2 for one text alone, 3.3 against 4.7 for 16 at once, 2.2 against 2.8 for 256; less since shapes return
    (`packing.py`). It starts 2 s later.
    """

    device = torch.device("cpu")

    def __init__(self, network: Any, most_tokens: int, last_id: int) -> None:
        """Convert `network`, a PyTorch classifier, with its weights in the number format they have: from fp32 it would
        be no faster and 78 MB larger. `most_tokens` of a text and ids up to `last_id` will come. Raises UnusableError.
        """
        # Its converter would report to its makers over the network; without this package it does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        self.dtype: torch.dtype = network.dtype
        try:
            import openvino  # type: ignore[import-untyped]

            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # tracing warns of what is checked below
                # Shared weights would lie in memory of a PyTorch network that is let go: NaN, then a crash.
                model = openvino.convert_model(_LogitsOnly(network), example_input=_example(3, 7), share_weights=False)
                compiled = _core().compile_model(
                    model,
                    "CPU",
                    {
                        "INFERENCE_PRECISION_HINT": _PRECISIONS[self.dtype],
                        "PERFORMANCE_HINT": "LATENCY",  # one pass at a time, on all threads
                        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                        # Pinned, the threads of all members on a machine would sit on its first cores (issue 32444).
                        "ENABLE_CPU_PINNING": False,
                        "CPU_RUNTIME_CACHE_CAPACITY": _PREPARED_KEPT,
                    },
                )
                self._request = compiled.create_infer_request()
                agreed = self._agrees_with(network, min(most_tokens, _LONGEST_TRIED), last_id)
        except Exception as error:
            raise UnusableError(type(error).__name__) from error
        if not agreed:
            raise UnusableError("its scores are not PyTorch's")

    def __call__(self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
        """Run one micro-batch: both of shape (texts, tokens), int64."""
        # Not `infer`: where a pass fails (no memory, a text beyond a table), that of 2026.4 raises nothing and leaves
        # the output of the pass before, which would be taken for the answer.
        self._request.start_async([input_ids.numpy(), attention_mask.numpy()], share_inputs=True)
        self._request.wait()
        return Output(torch.from_numpy(self._request.get_output_tensor(0).data.copy()))

    def _agrees_with(self, network: Any, longest: int, last_id: int) -> bool:
        """Tracing fixes what a model computes from its inputs in Python; so other shapes than the traced are tried. The
        last token too: beyond a table PyTorch raises, where OpenVINO would take zeros and go on."""
        long = _example(2, longest)
        long["input_ids"][0, -1] = last_id
        for example in (_example(1, 5), _example(4, 11), long):
            wanted, found = network(**example).logits.float(), self(**example).logits
            most = _MOST_DIFFERENCE[self.dtype] * max(1.0, float(wanted.abs().max()))
            if not torch.allclose(found, wanted, rtol=0, atol=most):
                return False
        return True


@cache
def _core() -> Any:
    """One for the process. Each sets a stack for signals and, when it is let go, puts back the one it found: that of
    another, which may be gone by then, and the next signal would end the process."""
    import openvino

    return openvino.Core()


class _LogitsOnly(torch.nn.Module):
    """OpenVINO converts modules that return tensors, and NumPy knows no bf16."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.network(input_ids=input_ids, attention_mask=attention_mask).logits.float()


def _example(texts: int, tokens: int) -> dict[str, torch.Tensor]:
    """Texts of different lengths, the longest of `tokens` tokens."""
    lengths = torch.arange(tokens, tokens - texts, -1)
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    return {"input_ids": (torch.arange(texts * tokens).reshape(texts, tokens) % 5 + 1) * mask, "attention_mask": mask}
