"""What every peer does with comments: classify them by a transformers pipeline, and say so in JSON."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from transformers import pipeline

from tests.benchmarks.peers.engine_peer import computes_bfloat16

BATCH_RECORDS = 256
"""Comments that a peer takes at once, as many as our own consumer."""
BATCH_TEXTS = 32
"""Texts in one forward pass of the pipeline."""
REMEMBERED = 50_000
"""Answers that `--cache` keeps, as many as our own consumer."""


class Classifier:
    """Comments to results; with `cache`, each text of a batch and of the last 50,000 is classified once."""

    def __init__(self, model: str, cache: bool) -> None:
        dtype = "bfloat16" if computes_bfloat16() else "float32"
        self._pipeline: Any = pipeline("text-classification", model=model, dtype=dtype, batch_size=BATCH_TEXTS)
        self._cache: dict[str, Mapping[str, Any]] | None = {} if cache else None

    def __call__(self, comments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A result for each comment, `{"id", "sentiment", "toxic"}`."""
        texts = [str(comment["text"]) for comment in comments]
        answers = self._classify(texts) if self._cache is None else self._remember(texts, self._cache)
        return [{"id": comment["id"], **answer} for comment, answer in zip(comments, answers, strict=True)]

    def _classify(self, texts: list[str]) -> list[Mapping[str, Any]]:
        scores = self._pipeline(texts, top_k=None, function_to_apply="none", truncation=True)
        return [_answer({score["label"]: score["score"] for score in one}) for one in scores]

    def _remember(self, texts: list[str], known: dict[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        if misses := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(misses, self._classify(misses), strict=True))
        answers = [known[text] for text in texts]
        for oldest in list(islice(known, max(0, len(known) - REMEMBERED))):
            del known[oldest]
        return answers


def decoded(values: Sequence[bytes | None]) -> list[Mapping[str, Any]]:
    """Comments from records."""
    return [json.loads(value or b"") for value in values]


def encoded(result: Mapping[str, Any]) -> bytes:
    """A result as a record."""
    return json.dumps(result).encode()


def _answer(logits: Mapping[str, float]) -> Mapping[str, Any]:
    return {"sentiment": max(logits.keys() - {"toxic"}, key=logits.__getitem__), "toxic": logits["toxic"]}
