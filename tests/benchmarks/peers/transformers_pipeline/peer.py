"""transformers: a pipeline for text classification with a batch size, as its guide to batching has it."""

from collections.abc import Sequence
from typing import Any

import transformers
from transformers import AutoConfig, pipeline

from tests.benchmarks.peers.engine_peer import Classify, Scores, computes_bfloat16, serve

BATCH_TEXTS = 32


def load(model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """In the CPU's best number format."""
    dtype = "bfloat16" if computes_bfloat16() else "float32"
    classifier: Any = pipeline("text-classification", model=model, dtype=dtype, batch_size=BATCH_TEXTS)
    labels = AutoConfig.from_pretrained(model).id2label

    def classify(texts: Sequence[str]) -> Scores:
        answers = classifier(list(texts), top_k=None, function_to_apply="none", truncation=True)
        named = [{score["label"]: score["score"] for score in answer} for answer in answers]
        return [[scores[labels[column]] for column in sorted(labels)] for scores in named]

    return classify, f"transformers {transformers.__version__}, {dtype}"


if __name__ == "__main__":
    serve(load)
