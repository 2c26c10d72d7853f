"""ONNX Runtime in fp32."""

from collections.abc import Sequence

from tests.benchmarks.peers.engine_peer import Classify, serve
from tests.benchmarks.peers.onnx_network import load_onnx


def load(model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """As it was trained."""
    return load_onnx(model, "fp32")


if __name__ == "__main__":
    serve(load)
