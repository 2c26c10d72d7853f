# mypy: disable-error-code="import-not-found, import-untyped"
"""The network converted for OpenVINO, and compiled for bfloat16 where the CPU has it."""

import time
import warnings
from collections.abc import Sequence
from typing import Any

import openvino
import torch
from transformers import AutoModelForSequenceClassification

from tests.benchmarks.peers.engine_peer import Scores, computes_bfloat16
from tests.benchmarks.peers.tokens import Batch, in_order

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
HINTS = ("LATENCY", "THROUGHPUT")


class OpenVinoNetwork:
    """Runs batches of any shape, by that of OpenVINO's two performance hints which is faster on `batches`.

    One gives every batch all cores; the other runs several batches at once.
    """

    def __init__(self, model: str, batches: Sequence[Batch]) -> None:
        converted = _converted(model)
        took_s = {}
        for hint in HINTS:
            self._use(converted, hint)
            self.run(batches)  # prepares every shape
            began_s = time.perf_counter()
            self.run(batches)
            took_s[hint] = time.perf_counter() - began_s
        self.hint = min(took_s, key=took_s.__getitem__)
        self._use(converted, self.hint)

    @property
    def version(self) -> str:
        """Which OpenVINO, and how it is used."""
        return f"openvino {openvino.get_version().split('-')[0]}, {_precision()}, {self.hint.lower()} hint"

    def run(self, batches: Sequence[Batch]) -> Scores:
        """Logits in the order of the texts."""
        answered: list[tuple[list[int], Any]] = []
        self._queue.set_callback(lambda request, indices: answered.append((indices, _copied(request))))
        for batch in batches:
            self._queue.start_async(batch.inputs, batch.indices)
        self._queue.wait_all()
        return in_order(answered)

    def _use(self, converted: Any, hint: str) -> None:
        config = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": _precision()}
        self._queue = openvino.AsyncInferQueue(openvino.Core().compile_model(converted, "CPU", config))


class _Logits(torch.nn.Module):
    """OpenVINO converts modules that return tensors."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> Any:
        """The inputs in the order of `INPUTS`."""
        return self.network(**dict(zip(INPUTS, inputs, strict=True))).logits


def _converted(model: str) -> Any:
    network = _Logits(AutoModelForSequenceClassification.from_pretrained(model).eval())
    example = tuple(torch.ones((2, 8), dtype=torch.int64) for _ in INPUTS)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns of branches that this network never takes
        converted = openvino.convert_model(network, example_input=example)
    for port, name in zip(converted.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
    return converted


def _copied(request: Any) -> Any:
    return request.get_output_tensor(0).data.copy()


def _precision() -> str:
    return "bf16" if computes_bfloat16() else "f32"
