"""`moderate bench`: what this machine does with the configured model, and what a rate of comments needs."""

import os
import platform
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from pydantic_core import to_json

from consumer import __version__
from consumer.answer import ModelPass
from consumer.loading import load_model
from consumer.model.engine import Engine
from consumer.model.joint import JointEngine, engines_of
from consumer.settings_parsing import load_settings
from consumer.terminal.bench_client import RecordBytes, bench_client
from consumer.terminal.bench_engine import BATCH_SIZES, engine_rates
from consumer.terminal.bench_figures import Measured
from consumer.terminal.bench_member import MemoryUse, bench_member
from consumer.terminal.bench_plan import Plan, plan
from consumer.terminal.bench_stream import Level, hold, join, saturate
from consumer.terminal.bench_texts import REMEMBERED, unique_texts, with_repeats

LOAD_SHARES = (0.5, 0.7, 0.8, 0.9)
IDLE_PER_S = 5.0
STARTS_S = 15.0
"""Loading torch and the model twice, here and in the member."""


class Effort(NamedTuple):
    """How long to measure: `rounds` of the engine, `windows` of the stream, then the levels of load."""

    rounds: int
    engine_seconds: float
    windows: int
    window_seconds: float
    repeat_shares: tuple[float, ...]
    level_seconds: float

    @property
    def seconds(self) -> float:
        """About how long all of it takes on a machine of some hundred comments per second."""
        engine = self.rounds * self.engine_seconds * len(BATCH_SIZES)
        stream = len(self.repeat_shares) * (self.windows * self.window_seconds + 5)
        return STARTS_S + 1.2 * engine + stream + (1 + len(LOAD_SHARES)) * (self.level_seconds + 1)


FULL = Effort(5, 1.0, 5, 5.0, (0.0, 0.5, 0.9, 1.0), 20.0)
QUICK = Effort(2, 0.3, 2, 1.5, (0.0, 0.5), 1.5)


class Machine(NamedTuple):
    """What was measured on. `cores` are those this process may use, `threads` those the model uses."""

    system: str
    cores: int
    threads: int
    device: str


class Texts(NamedTuple):
    """The texts that were measured with; tokens per text as the model counts them, with padding at batches of all
    sizes."""

    tokens: float
    padded_tokens: float


class Findings(NamedTuple):
    """All that was measured, comments per second unless a name says otherwise. `engine` is by texts per call,
    `stream` by share of repeats; `memory_idle` is before the first load."""

    version: str
    machine: Machine
    model: str
    fingerprint: str
    cache: str
    texts: Texts
    engine: dict[int, Measured]
    stream: dict[float, Measured]
    levels: list[Level]
    memory_idle: MemoryUse | None
    memory_after: MemoryUse | None
    record_bytes: RecordBytes

    def plan(self, rate_per_s: float, peak_factor: float, repeats: float = 0.0) -> Plan:
        """What `rate_per_s` needs where so many are repeats, one of the shares that were measured."""
        return plan(rate_per_s, self.stream[repeats].median, peak_factor=peak_factor, **self.record_bytes._asdict())


class Screen(Protocol):
    """Shows how far it is."""

    def step(self, sentence: str) -> None:
        """Say what is being measured now."""
        ...

    def passed(self, seconds: float) -> None:
        """Some seconds have passed."""
        ...


def measure(effort: Effort, screen: Screen) -> Findings:
    """Measure the model, then a member; takes about `effort.seconds`. Raises `ReaderError` when something fails."""
    passes: list[ModelPass] = []
    texts = unique_texts()
    screen.step("loading the model")
    settings = load_settings()
    engine, _ = load_model(settings, passes.append)
    machine = Machine(f"{platform.system()} {platform.machine()}", _cores(), torch.get_num_threads(), _device(engine))
    screen.step("the model alone, by texts per call")
    rates = engine_rates(
        engine, texts, rounds=effort.rounds, seconds_each=effort.engine_seconds, on_progress=screen.passed
    )
    name, fingerprint = engine.name, engine.fingerprint
    del engine  # the member is to have the machine, and a GPU's memory, for itself
    screen.step("starting a member on an embedded broker and cache")
    with bench_member() as member, bench_client(member.settings) as client:
        join(client, member, next(texts))
        memory_idle = member.memory()
        stream = {}
        for share in effort.repeat_shares:
            screen.step(f"the stream when there is always more to do, {share:.0%} of the texts repeats")
            stream[share] = saturate(
                client,
                member,
                with_repeats(texts, share),
                warm_up_comments=REMEMBERED if share else 0,
                windows=effort.windows,
                seconds_each=effort.window_seconds,
                on_progress=screen.passed,
            )
        levels = []
        for rate in (IDLE_PER_S, *(share * stream[0.0].median for share in LOAD_SHARES)):
            screen.step(f"latency at {rate:,.0f} comments/s")
            levels.append(hold(client, member, texts, rate, effort.level_seconds, on_progress=screen.passed))
        return Findings(
            __version__,
            machine,
            name,
            fingerprint,
            member.cache_kind,
            _texts(passes),
            rates,
            stream,
            levels,
            memory_idle,
            member.memory(),
            client.record_bytes,
        )


def as_json(findings: Findings, plans: Sequence[Plan]) -> bytes:
    """Findings and plans with the names that they have here."""
    return to_json(_fields(findings._asdict() | {"plans": list(plans)}), indent=2) + b"\n"


def _fields(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _fields(value._asdict())
    if isinstance(value, dict):
        return {str(name): _fields(part) for name, part in value.items()}
    return [_fields(part) for part in value] if isinstance(value, list) else value


def _texts(passes: Sequence[ModelPass]) -> Texts:
    count = sum(one.texts for one in passes)
    return Texts(sum(one.tokens for one in passes) / count, sum(one.padded_tokens for one in passes) / count)


def _cores() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _device(engine: Engine | JointEngine) -> str:
    device = engines_of(engine)[0].network.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device
    return f"{name} ({engine.backend})"
