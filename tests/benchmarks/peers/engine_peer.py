"""What the programs of all engine peers share: they load, say so, and classify when they are told to.

A line on stdin, an answer of one JSON line on stdout:

    run [SIZE [PAUSE_MS]]   classify the texts (with SIZE: some of them, that many in a call; with PAUSE_MS: each
                            after a pause, which is not timed) -> {"seconds": s, "cpu_seconds": s, "texts": n}
    scores                  classify all texts -> {"scores": [[negative, neutral, positive, toxic], ...]}, logits

Only the standard library is imported here: some peers share no package with the project.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Classify = Callable[[Sequence[str]], Any]
Load = Callable[[str, Sequence[str]], tuple[Classify, str]]
"""Given the model's directory and the texts (for what may be prepared beforehand), what classifies and its version."""
Scores = list[list[float]]

CALLS, FEW_TEXTS = 8, 64
"""How many calls are timed when each has a number of texts; more, where that would be fewer texts than 64."""


def serve(load: Load, scores: Callable[[Any], Scores] = list) -> None:
    """Answer until stdin ends. `scores` makes logits of what `classify` returned; it is not timed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints would be taken for an answer
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", type=Path, required=True)
    told = parser.parse_args()
    texts: list[str] = json.loads(told.texts.read_bytes())
    classify, version = load(told.model, texts)
    classify(texts)  # warms up: every shape was seen once
    _say(answers, {"ready": True, "version": version})
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "scores":
            _say(answers, {"scores": scores(classify(texts))})
        else:
            size, pause_ms = [*map(int, numbers), 0, 0][:2]
            _say(answers, _timed(classify, texts, size, pause_ms / 1_000))


def _timed(classify: Classify, texts: list[str], size: int, pause_s: float) -> dict[str, float]:
    calls = _spread(texts, size) if size else [texts]
    took_s, cpu_began_s = 0.0, time.process_time()
    for call in calls:
        if pause_s:
            time.sleep(pause_s)
        began_s = time.perf_counter()
        classify(call)
        took_s += time.perf_counter() - began_s
    return {"seconds": took_s, "cpu_seconds": time.process_time() - cpu_began_s, "texts": sum(map(len, calls))}


def _spread(texts: list[str], size: int) -> list[list[str]]:
    """Some calls of `size` texts from all over the list, so that their lengths are those of the list."""
    calls = [texts[start : start + size] for start in range(0, len(texts), size)]
    wanted = max(CALLS, FEW_TEXTS // size)
    return calls[:: max(1, len(calls) // wanted)][:wanted]


def computes_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16: elsewhere it is slower than float32."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _say(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
