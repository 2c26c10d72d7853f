# mypy: disable-error-code="import-not-found, import-untyped"
"""ONNX Runtime with dynamic int8: weights by channel, activations by what they are at run time."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from tests.benchmarks.peers.engine_peer import Classify, serve
from tests.benchmarks.peers.onnx_network import load_onnx

UNTYPED = {"DefaultTensorType": onnx.TensorProto.FLOAT}
"""Shapes and types cannot be inferred behind ONNX Runtime's own fused operators."""


def load(model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """Quantised as ONNX Runtime's guide says for transformers."""
    return load_onnx(model, "dynamic int8 per channel", _quantised)


def _quantised(path: Path) -> Path:
    quantised = path.with_name("int8.onnx")
    quantize_dynamic(path, quantised, per_channel=True, weight_type=QuantType.QInt8, extra_options=UNTYPED)
    return quantised


if __name__ == "__main__":
    serve(load)
