# mypy: disable-error-code="import-not-found, import-untyped"
"""The network exported to ONNX, fused by ONNX Runtime's own optimiser for BERT, and its session."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.transformers.optimizer import optimize_model
from transformers import AutoModelForSequenceClassification

from tests.benchmarks.peers.engine_peer import Classify, Scores
from tests.benchmarks.peers.tokens import batches, in_order, reader

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Rewrite = Callable[[Path], Path]
"""Makes another file of an ONNX model's."""


def load_onnx(model: str, name: str, rewrite: Rewrite = lambda path: path) -> tuple[Classify, str]:
    """What classifies in batches of 32 sorted by length, after `rewrite`; `name` goes into its version."""
    with tempfile.TemporaryDirectory() as directory:
        path = rewrite(_exported(model, Path(directory)))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tokenizer = reader(model)

    def classify(texts: Sequence[str]) -> Scores:
        return in_order([(batch.indices, session.run(None, batch.inputs)[0]) for batch in batches(tokenizer, texts)])

    return classify, f"onnxruntime {onnxruntime.__version__}, {name}"


def _exported(model: str, directory: Path) -> Path:
    # The optimiser knows the attention of the eager implementation.
    network = AutoModelForSequenceClassification.from_pretrained(model, attn_implementation="eager").eval()
    example: dict[str, Any] = {name: torch.ones((2, 8), dtype=torch.int64) for name in INPUTS}
    path = directory / "model.onnx"
    torch.onnx.export(
        network,
        (),
        path,
        kwargs=example,
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in INPUTS} | {"logits": {0: "texts"}},
        dynamo=False,
    )
    config = network.config
    fused = directory / "fused.onnx"
    optimize_model(
        str(path), "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
    ).save_model_to_file(str(fused))
    return fused
