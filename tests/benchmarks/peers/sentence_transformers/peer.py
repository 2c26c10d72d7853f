# mypy: disable-error-code="import-not-found, import-untyped"
"""sentence-transformers: `CrossEncoder`, its class for classifiers, over texts sorted by length.

Its `predict` takes a list of texts for one pair of texts since version 6, so its two steps are called here: the
batches are those that `predict` makes.
"""

from collections.abc import Sequence
from typing import Any

import sentence_transformers
import torch
from sentence_transformers import CrossEncoder

from tests.benchmarks.peers.engine_peer import Classify, Scores, computes_bfloat16, serve

BATCH_TEXTS = 32


def load(model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """In the CPU's best number format."""
    dtype = "bfloat16" if computes_bfloat16() else "float32"
    encoder: Any = CrossEncoder(model, device="cpu", model_kwargs={"dtype": dtype}).eval()

    @torch.inference_mode()
    def classify(texts: Sequence[str]) -> Scores:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
        rows: Scores = []
        for start in range(0, len(order), BATCH_TEXTS):
            batch = [texts[index] for index in order[start : start + BATCH_TEXTS]]
            rows += encoder(encoder.preprocess(batch))["scores"].float().tolist()
        by_index = dict(zip(order, rows, strict=True))
        return [by_index[index] for index in range(len(texts))]

    return classify, f"sentence-transformers {sentence_transformers.__version__}, {dtype}"


if __name__ == "__main__":
    serve(load)
