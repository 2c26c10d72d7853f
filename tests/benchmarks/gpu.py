"""Section "gpu", for an NVIDIA GPU: graphs against PyTorch's own launches, and against multiplication alone."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import torch

from consumer.model.load import BUNDLED, load_engine
from consumer.model.packing import ROW_TOKENS
from consumer.model.rows import LaidOut, OneTextARow, Runner, in_rows, lay_out
from consumer.terminal.bench_figures import measured
from tests.benchmarks.limits import flops_per_text, gemm_flops_per_s
from tests.benchmarks.sampling import Figure, Point, Run, in_turns, ratio

DEVICE = torch.device("cuda")
MAX_BATCH_TOKENS = 16_384
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TEXT_TOKENS = ROW_TOKENS // 2
"""Two texts a row, about as long as comments are."""
PASSES = 100


def run(told: Run) -> list[Figure]:
    """Measure the bundled model. Raises RuntimeError without a GPU, or where its graphs are not used."""
    if not torch.cuda.is_available():
        raise RuntimeError("torch sees no NVIDIA GPU")
    graphed = load_engine(BUNDLED, device="cuda", backend="auto", max_batch_tokens=MAX_BATCH_TOKENS)
    if graphed.backend != "cuda-graphs":
        raise RuntimeError(f"the model is run by {graphed.backend}; the log says why")
    runner = graphed._passes.runner
    eager = in_rows(graphed.network, 512, pad_id=0)
    return figures(runner, eager, torch.cuda.get_device_name(DEVICE), ROWS, told.rounds)


def figures(graphed: Runner, eager: OneTextARow, device: str, rows: Sequence[int], rounds: int) -> list[Figure]:
    """Texts per second by rows in a pass, a pass after the other; `device` is said beside the ratios."""
    config = eager.classifier.config
    flops = flops_per_text(config, [TEXT_TOKENS])
    found = []
    for count in rows:
        texts = [[range(5, 5 + TEXT_TOKENS)] * (2 if eager.shares_rows else 1)] * count
        laid_out = lay_out([[list(text) for text in row] for row in texts], ROW_TOKENS, pad_id=0)
        rates = _rates({"graphs": graphed, "eager": eager}, laid_out, rounds)
        floor = [gemm_flops_per_s(config, eager.device) / flops for _ in range(rounds)]
        found += [
            Figure(f"graphs ÷ eager, {count} rows", "ratio", ratio(rates["graphs"], rates["eager"]), note=device),
            Figure(f"graphs ÷ GEMM, {count} rows", "ratio", ratio(rates["graphs"], floor), note=device),
            *_points({**rates, "GEMM": floor}, count),
        ]
    return found


def _points(rates: Mapping[str, Sequence[float]], rows: int) -> list[Figure]:
    return [
        Figure(f"{name}, {rows} rows", "texts/s", measured(values), point=Point("GPU by rows", name, rows, "rows"))
        for name, values in rates.items()
    ]


def _rates(runners: Mapping[str, Runner], laid_out: LaidOut, rounds: int) -> dict[str, list[float]]:
    """Texts per second, from the host's memory to the host's memory."""

    def rate(runner: Runner) -> float:
        runner.run(*laid_out)
        began_s = time.perf_counter()
        for _ in range(PASSES):
            runner.run(*laid_out)
        return PASSES * len(laid_out.firsts) / (time.perf_counter() - began_s)

    with torch.inference_mode():
        return in_turns({name: partial(rate, one) for name, one in runners.items()}, rounds)
