"""Our own engine, as `moderate run` has it. What it would say without calibration, which is what can be compared, is
asked of a second one, after the figures are taken.
"""

import math
from collections.abc import Sequence
from typing import Any

from consumer.answer import Answer
from consumer.model.engine import Engine
from consumer.model.load import load_engine
from consumer.model.source import BUNDLED
from tests.benchmarks.peers.engine_peer import Classify, Scores, serve

TINY = 1e-12


def load(_model: str, _texts: Sequence[str]) -> tuple[Classify, str]:
    """The bundled model, run by what runs it by default here."""
    engine = load_engine(BUNDLED, backend="auto")
    engine.warm_up()

    def classify(texts: Sequence[str]) -> Sequence[str]:
        engine.classify(texts)
        return texts

    return classify, f"{type(engine.network).__name__}, {engine.fingerprint}"


def scores(texts: Any) -> Scores:
    """The network's logits, those of sentiment up to a constant."""
    engine = load_engine(BUNDLED, backend="auto", raw=True)
    return [_logits(engine, answer) for answer in engine.classify(texts) if isinstance(answer, Answer)]


def _logits(engine: Engine, answer: Answer) -> list[float]:
    groups = engine.tag_groups.scores(answer)
    sentiment = [math.log(groups["sentiment"][label] + TINY) for label in ("negative", "neutral", "positive")]
    toxic = groups["toxicity"]["toxic"]
    return [*sentiment, math.log((toxic + TINY) / (1 - toxic + TINY))]


if __name__ == "__main__":
    serve(load, scores)
