"""A limit: PyTorch's forward pass in the CPU's best number format and nothing else. The texts are tokens already,
sorted by length and cut into batches of at most 1,024 padded tokens.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from transformers import AutoModelForSequenceClassification

from tests.benchmarks.peers.engine_peer import Classify, computes_bfloat16, serve
from tests.benchmarks.peers.tokens import batches, by_tokens, in_order, reader


def load(model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """The texts of a call are made tokens once, in the warm-up."""
    dtype = torch.bfloat16 if computes_bfloat16() else torch.float32
    network = AutoModelForSequenceClassification.from_pretrained(model, dtype=dtype).eval()
    tokenizer = reader(model)

    @lru_cache
    def prepared(texts: tuple[str, ...]) -> list[tuple[list[int], dict[str, torch.Tensor]]]:
        found = batches(tokenizer, texts, by_tokens)
        return [(batch.indices, {name: torch.from_numpy(v) for name, v in batch.inputs.items()}) for batch in found]

    @torch.inference_mode()
    def classify(texts: Sequence[str]) -> list[list[float]]:
        return in_order([(indices, network(**inputs).logits.float()) for indices, inputs in prepared(tuple(texts))])

    return classify, f"torch {torch.__version__}, {str(dtype).removeprefix('torch.')}"


if __name__ == "__main__":
    serve(load)
