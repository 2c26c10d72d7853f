"""Section "engine": texts in, scores out. Ours, the bare forward pass and the machine's limit; with peers, theirs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch

from consumer.model.engine import Engine
from consumer.terminal.bench_figures import measured
from tests.benchmarks import corpus
from tests.benchmarks.agreement import EQUAL_ACCURACY, agreement
from tests.benchmarks.engine_process import EngineFailedError, EngineProcess, engine_process
from tests.benchmarks.environments import EnvironmentMissingError
from tests.benchmarks.exported import plain_engine
from tests.benchmarks.limits import flops_per_text, gemm_flops_per_s
from tests.benchmarks.sampling import Figure, Point, Reach, Run, fastest, in_turns, ratio

OURS = "ours"
LIMITS = ("bare_torch", "bare_openvino")
PEERS = (
    "transformers_pipeline",
    "sentence_transformers",
    "infinity",
    "onnxruntime_fp32",
    "onnxruntime_int8",
    "openvino_bf16",
)
TEXTS, QUICK_TEXTS = 1_024, 256
CALL_SIZES = (1, 4, 16, 64)
POINT_ROUNDS = 3
GEMM = "GEMM"
AGAINST_PEERS = Reach(1.0, 1.3)

Rates = Mapping[str, Sequence[float]]


def run(told: Run) -> list[Figure]:
    """Measure all engines in turns, each in a process of its own; one that cannot be had is said on stderr."""
    plain = plain_engine()
    texts = [plain.model_text(text) for text in corpus.unique(QUICK_TEXTS if told.quick else TEXTS)]
    with started((OURS, *LIMITS, *(PEERS if told.peers else ())), told, texts) as engines:
        contenders = {name: engine.texts_per_s for name, engine in engines.items()}
        rates = in_turns({**contenders, GEMM: _gemm(plain, texts)}, told.rounds)
        points = _by_call_size({name: engines[name] for name in engines if name not in LIMITS})
        reference = _reference(plain, texts)
        agreements = {name: agreement(engine.scores(), reference) for name, engine in engines.items()}
        notes = {name: _note(engine, agreements[name]) for name, engine in engines.items()}
    counts = _token_counts(plain, texts)
    notes[GEMM] = f"multiplications alone, at {sum(counts) / len(counts):.0f} tokens a text"
    return [*_rates(rates, notes), *_ratios(rates, agreements), *points]


def _note(engine: EngineProcess, agreed: float) -> str:
    return f"{agreed:.1%} as fp32; {engine.cpu_ms_per_text():.1f} ms CPU a text; {engine.version}"


@contextmanager
def started(names: Sequence[str], told: Run, texts: Sequence[str]) -> Iterator[dict[str, EngineProcess]]:
    """The engines that can be had, ready."""
    with ExitStack() as stack:
        engines = {}
        for name in names:
            try:
                engines[name] = stack.enter_context(engine_process(name, told.model, texts))
            except (EnvironmentMissingError, EngineFailedError) as error:
                sys.stderr.write(f"{name} is left out: {error}\n")
        yield engines


def _gemm(plain: Engine, texts: Sequence[str]) -> Callable[[], float]:
    """Texts per second if the model were its matrix multiplications and nothing else."""
    config = plain.network.config
    flops = flops_per_text(config, _token_counts(plain, texts))
    return lambda: gemm_flops_per_s(config) / flops


def _by_call_size(engines: Mapping[str, EngineProcess]) -> list[Figure]:
    """Texts per second when few are asked for at a time."""
    figures = []
    for size in CALL_SIZES:
        contenders = {
            name: lambda engine=engine, size=size: engine.texts_per_s(size) for name, engine in engines.items()
        }
        for name, values in in_turns(contenders, POINT_ROUNDS).items():
            point = Point("Engine throughput by batch size", name, size, "texts in a call")
            figures.append(Figure(f"{name}, {size} at once", "texts/s", measured(values), point=point))
    return figures


def _reference(plain: Engine, texts: Sequence[str]) -> list[list[float]]:
    """The logits of the fp32 network in PyTorch, a text at a time: no padding, no rounding."""
    with torch.inference_mode():
        inputs = (torch.tensor([plain.tokenizer.encode(text).ids]) for text in texts)
        return [plain.network(input_ids=ids).logits[0].tolist() for ids in inputs]


def _token_counts(plain: Engine, texts: Sequence[str]) -> list[int]:
    return [len(encoding.ids) for encoding in plain.tokenizer.encode_batch_fast(list(texts))]


def _rates(rates: Rates, notes: Mapping[str, str]) -> list[Figure]:
    return [Figure(f"engine: {name}", "texts/s", measured(values), note=notes[name]) for name, values in rates.items()]


def _ratios(rates: Rates, agreements: Mapping[str, float]) -> list[Figure]:
    """Ours against the fastest that is as accurate, and against the limits."""
    limits = {name: rates[name] for name in (*LIMITS, GEMM) if name in rates}
    figures = [Figure(f"engine ÷ {name}", "ratio", ratio(rates[OURS], values)) for name, values in limits.items()]
    equal = {name: rates[name] for name in PEERS if agreements.get(name, 0.0) >= EQUAL_ACCURACY}
    if equal:
        best = fastest(equal)
        value = ratio(rates[OURS], equal[best])
        figures.append(Figure("engine ÷ fastest engine peer", "ratio", value, AGAINST_PEERS, f"against {best}"))
    return figures
