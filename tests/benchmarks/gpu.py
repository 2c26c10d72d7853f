"""Section "gpu", for an NVIDIA GPU: graphs against PyTorch's own launches, and against multiplication alone."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import torch

from consumer.model.load import load_engine
from consumer.model.packing import ROW_TOKENS
from consumer.model.rows import LaidOut, OneTextARow, Runner, in_rows, lay_out
from consumer.model.source import BUNDLED
from consumer.terminal.bench_figures import measured
from tests.benchmarks.limits import flops_per_text, gemm_flops_per_s
from tests.benchmarks.sampling import Figure, Point, Run, in_turns, ratio

DEVICE = torch.device("cuda")
MAX_BATCH_TOKENS = 16_384
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TEXT_TOKENS = ROW_TOKENS // 2
"""Two texts a row, about as long as comments are."""
PASSES = 100
GRAPHS, IN_FLIGHT, EAGER, GEMM = "graphs", "graphs, two in flight", "eager", "GEMM"


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
    """Texts per second by rows in a pass; `device` is said beside the ratios."""
    config = eager.classifier.config
    flops = flops_per_text(config, [TEXT_TOKENS])
    found = []
    for count in rows:
        row = [list(range(5, 5 + TEXT_TOKENS))] * (2 if eager.shares_rows else 1)
        laid_out = lay_out([row] * count, ROW_TOKENS, pad_id=0)
        contenders: dict[str, Callable[[], float]] = {
            GRAPHS: partial(_texts_per_s, graphed, laid_out, 1),
            IN_FLIGHT: partial(_texts_per_s, graphed, laid_out, 2),
            EAGER: partial(_texts_per_s, eager, laid_out, 1),
            GEMM: lambda: gemm_flops_per_s(config, eager.device) / flops,
        }
        with torch.inference_mode():
            rates = in_turns(contenders, rounds)
        found += [
            Figure(f"{name} ÷ {other}, {count} rows", "ratio", ratio(rates[name], rates[other]), note=device)
            for name, other in ((GRAPHS, EAGER), (IN_FLIGHT, GRAPHS), (IN_FLIGHT, GEMM))
        ]
        found += [
            Figure(
                f"{name}, {count} rows", "texts/s", measured(values), point=Point("GPU by rows", name, count, "rows")
            )
            for name, values in rates.items()
        ]
    return found


def _texts_per_s(runner: Runner, laid_out: LaidOut, in_flight: int) -> float:
    """From the host's memory to the host's memory, with so many passes begun when one is waited for."""
    runner.run(*laid_out)
    began_s = time.perf_counter()
    begun = deque(runner.begin(*laid_out) for _ in range(in_flight - 1))
    for _ in range(PASSES):
        begun.append(runner.begin(*laid_out))
        begun.popleft()()
    took_s = time.perf_counter() - began_s
    for wait in begun:
        wait()
    return PASSES * len(laid_out.firsts) / took_s
