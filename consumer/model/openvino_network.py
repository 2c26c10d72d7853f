"""OpenVINO as what runs a model on a CPU: the same weights, faster."""

import sys
import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
_SHAPES_KEPT = 64
"""What is prepared for a shape of micro-batch is kept for so many of them: the default of 5,000 grew by 96 MB within
1,500 texts, and was no faster."""
_MOST_DIFFERENCE = 0.1
"""Of a logit, as a share of the largest. In bf16 the two differ by less than a hundredth; a shape that was fixed by
mistake changes the answer, or fails."""


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
    against 12.2 for one text alone, 3.3 against 4.7 for 16 at once, 2.2 against 2.8 for 256. It starts 2 s later.
    """

    device = torch.device("cpu")

    def __init__(self, network: Any) -> None:
        """Convert `network`, a PyTorch classifier, with its weights in the number format they have: from fp32 it would
        be no faster and 78 MB larger. Raises UnusableError."""
        # Its converter would report to its makers over the network; without this package it does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino  # type: ignore[import-untyped]

        self.dtype: torch.dtype = network.dtype
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # tracing warns of what is checked below
                # Shared weights would lie in memory of a PyTorch network that is let go: NaN, then a crash.
                model = openvino.convert_model(_LogitsOnly(network), example_input=_example(3, 7), share_weights=False)
                compiled = openvino.Core().compile_model(
                    model,
                    "CPU",
                    {
                        "INFERENCE_PRECISION_HINT": _PRECISIONS[self.dtype],
                        "PERFORMANCE_HINT": "LATENCY",  # one pass at a time, on all threads
                        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                        "CPU_RUNTIME_CACHE_CAPACITY": _SHAPES_KEPT,
                    },
                )
                self._request = compiled.create_infer_request()
                agreed = self._agrees_with(network)
        except Exception as error:
            raise UnusableError(type(error).__name__) from error
        if not agreed:
            raise UnusableError("its scores are not PyTorch's")

    def __call__(self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
        """Run one micro-batch: both of shape (texts, tokens), int64."""
        self._request.infer([input_ids.numpy(), attention_mask.numpy()], share_inputs=True)
        return Output(torch.from_numpy(self._request.get_output_tensor(0).data.copy()))

    def _agrees_with(self, network: Any) -> bool:
        """Tracing fixes what a model computes from its inputs in Python; so other shapes than the traced are tried."""
        for example in (_example(1, 5), _example(4, 11)):
            wanted, found = network(**example).logits.float(), self(**example).logits
            if not torch.allclose(found, wanted, rtol=0, atol=_MOST_DIFFERENCE * max(1.0, float(wanted.abs().max()))):
                return False
        return True


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
