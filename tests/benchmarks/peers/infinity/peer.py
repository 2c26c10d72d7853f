# mypy: disable-error-code="import-not-found, import-untyped"
"""infinity-emb: its asynchronous engine with PyTorch, which sorts what waits by length and batches it."""

import asyncio
import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from infinity_emb import AsyncEmbeddingEngine, EngineArgs

from tests.benchmarks.peers.engine_peer import Classify, Scores, computes_bfloat16, serve

BATCH_TEXTS = 32
LABELS = ("negative", "neutral", "positive", "toxic")
TINY = 1e-12


def load(model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """In the CPU's best number format. Its BetterTransformer is left off: optimum has removed it."""
    dtype = "bfloat16" if computes_bfloat16() else "float32"
    engine = AsyncEmbeddingEngine.from_args(
        EngineArgs(model_name_or_path=model, batch_size=BATCH_TEXTS, device="cpu", dtype=dtype, bettertransformer=False)
    )
    loop = asyncio.new_event_loop()
    loop.run_until_complete(engine.astart())

    def classify(texts: Sequence[str]) -> Scores:
        answers, _ = loop.run_until_complete(engine.classify(sentences=list(texts), raw_scores=True))
        return [_row(answer) for answer in answers]

    return classify, f"infinity-emb {version('infinity-emb')}, {dtype}"


def _row(answer: Sequence[Any]) -> list[float]:
    """Logits from what infinity's pipeline made of them, which is their sigmoid whatever is asked for."""
    named = {score["label"]: score["score"] for score in answer}
    return [math.log((named[label] + TINY) / (1 - named[label] + TINY)) for label in LABELS]


if __name__ == "__main__":
    serve(load)
