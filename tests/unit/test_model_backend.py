"""What runs a model: OpenVINO where it can and agrees with PyTorch, else PyTorch."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumer.answer import Answer
from consumer.jobs import Answers
from consumer.model import Engine, ModelError, backend, load_engine
from consumer.model.backend import NICENESS, prepare
from consumer.model.device import pass_tokens
from consumer.model.openvino_network import OpenVinoNetwork, UnusableError
from consumer.model.rows import OneTextARow, lay_out
from tests.pass_engine import interleaved
from tests.tiny_models import save_classifier

CPU = torch.device("cpu")
TOKENS = {"most_tokens": 24, "pad_id": 0, "last_id": 9}
LIMITS = TOKENS | {"max_batch_tokens": 128}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def both(directory: Path) -> tuple[Engine, Engine]:
    return load_fp32(directory, "openvino"), load_fp32(directory, "torch")


def load_fp32(directory: Path, backend: str) -> Engine:
    return load_engine(str(directory), device="cpu", dtype="float32", backend=backend, max_batch_tokens=128)


def scores(engine: Engine, texts: list[str]) -> list[float]:
    return scores_in(engine.classify([engine.model_text(text) for text in texts]))


def scores_in(found: Answers) -> list[float]:
    return [score for answer in found if isinstance(answer, Answer) for score in answer.scores]


def idle_requests(engine: Engine) -> list[Any]:
    network: Any = engine.network
    idle: list[Any] = network._idle
    return idle


class Output(NamedTuple):
    logits: torch.Tensor


class Classifier(torch.nn.Module):
    """A sum over the embeddings of a text's tokens."""

    device = CPU
    dtype = torch.float32

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Output:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return Output((self.embedding(input_ids) * mask[:, :, None]).sum(dim=1))


class FixedLength(Classifier):
    """It computes with a length in Python, which tracing turns into a constant."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Output:
        row_tokens = attention_mask.sum(dim=1, keepdim=True) if attention_mask is not None else input_ids.shape[1]
        return Output(super().forward(input_ids, attention_mask).logits * row_tokens / float(input_ids.shape[1]))


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text("abc xyz,.!", max_size=60), min_size=1, max_size=40))
def test_it_answers_as_pytorch_does_whatever_the_shape(both: tuple[Engine, Engine], texts: list[str]) -> None:
    found, wanted = (scores(engine, texts) for engine in both)
    assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.skipif(torch.get_num_threads() % 2 == 1, reason="an odd number of threads runs one pass at a time")
def test_jobs_whose_passes_run_side_by_side_get_their_own_answers(both: tuple[Engine, Engine]) -> None:
    texts = [both[0].model_text(f"{'a b ' * (number % 7)}{number}") for number in range(60)]
    forwards, given_up, backwards = (both[0].steps(some) for some in (texts, texts[:30], texts[::-1]))
    for _ in range(2):
        for steps in (forwards, given_up, backwards):
            next(steps)
    given_up.close()
    found = interleaved({"forwards": forwards, "backwards": backwards})
    wanted = scores(both[1], texts)
    assert scores_in(found["forwards"]) == pytest.approx(wanted, abs=1e-4)
    assert len(idle_requests(both[0])) > 1, "no pass has run beside another"
    assert scores_in(found["backwards"][::-1]) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="only there threads have priorities of their own")
def test_its_threads_let_all_others_go_first(directory: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    engine = load_fp32(directory, "openvino")
    engine.classify([engine.model_text(f"text {number}") for number in range(200)])
    tasks = Path("/proc/self/task")
    nice = {task.name: int((task / "stat").read_text().rpartition(")")[2].split()[16]) for task in tasks.iterdir()}
    assert max(NICENESS, own) in nice.values()
    assert nice[str(threading.get_native_id())] == own, "the thread that loads it stays as it was"


@pytest.mark.skipif(sys.platform != "linux", reason="only there threads have priorities of their own")
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), None])
def test_a_process_that_may_not_change_priorities_or_is_patient_already_loads_it_too(
    directory: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    asked: list[int] = []

    def setpriority(_which: int, _who: int, niceness: int) -> None:
        asked.append(niceness)
        if error:
            raise error

    monkeypatch.setattr("os.setpriority", setpriority)
    monkeypatch.setattr("os.getpriority", lambda _which, _who: 15)
    assert load_fp32(directory, "openvino").backend == "openvino"
    assert asked == [15]


def test_its_answers_may_stand_in_for_pytorchs(both: tuple[Engine, Engine]) -> None:
    assert [engine.backend for engine in both] == ["openvino", "torch"]
    assert both[0].fingerprint == both[1].fingerprint
    assert both[0].network.dtype == torch.float32
    assert both[0].network.device == CPU


def test_auto_takes_it_on_a_cpu_only_where_it_is_installed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_fp32(directory, "auto").backend == "openvino"
    monkeypatch.setattr(backend, "is_installed", lambda: False)
    assert load_fp32(directory, "auto").backend == "torch"
    with pytest.raises(ModelError, match=r"not installed; run: pip install .*\[openvino\]"):
        load_fp32(directory, "openvino")


def test_a_number_format_that_it_does_not_have_is_pytorchs_or_refused(directory: Path) -> None:
    assert load_engine(str(directory), device="cpu", dtype="float16").backend == "torch"
    with pytest.raises(
        ModelError, match="runs float32 and bfloat16 on a CPU, not float16 on cpu; use MODEL_BACKEND=auto"
    ):
        load_engine(str(directory), device="cpu", dtype="float16", backend="openvino")


def test_a_network_that_it_would_answer_wrongly_for_is_left_to_pytorch() -> None:
    with capture_logs() as logs:
        running = prepare(FixedLength(), "fixed", CPU, torch.float32, "auto", **LIMITS)
    assert isinstance(running, OneTextARow)
    assert [(line["event"], line["reason"]) for line in logs] == [("openvino_not_used", "its scores are not PyTorch's")]
    with pytest.raises(
        ModelError, match="OpenVINO cannot run the model fixed: its scores are not PyTorch's; use MODEL"
    ):
        prepare(FixedLength(), "fixed", CPU, torch.float32, "openvino", **LIMITS)


def test_a_network_that_it_cannot_convert_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise UnusableError("OpConversionFailure")

    monkeypatch.setattr(backend, "OpenVinoNetwork", fail)
    with capture_logs() as logs:
        assert isinstance(prepare(Classifier(), "sum", CPU, torch.float32, "auto", **LIMITS), OneTextARow)
    assert logs[0]["reason"] == "OpConversionFailure"


def test_a_pass_that_fails_raises_and_gives_out_nothing_of_the_pass_before(directory: Path) -> None:
    network = load_engine(str(directory), device="cpu", dtype="float32", backend="openvino").network
    network.run(*lay_out([[[7] * 10]], 10, pad_id=0))
    with pytest.raises(RuntimeError):
        network.run(*lay_out([[[9] * 40]], 40, pad_id=0))  # more positions than the model has


def test_a_network_that_pytorch_would_refuse_a_text_of_is_left_to_it() -> None:
    def running(last_id: int) -> Any:
        return prepare(Classifier(), "sum", CPU, torch.float32, "auto", **LIMITS | {"last_id": last_id})

    assert isinstance(running(last_id=9), OpenVinoNetwork)
    assert isinstance(running(last_id=10), OneTextARow)


def test_an_error_of_the_conversion_says_its_kind_and_quotes_nothing() -> None:
    network = Classifier()
    network.register_forward_pre_hook(lambda *_: int("a secret"))
    with pytest.raises(UnusableError) as error:
        OpenVinoNetwork(OneTextARow(network), **TOKENS)
    assert "secret" not in str(error.value)


def test_signals_are_survived_whatever_models_were_let_go_before(directory: Path) -> None:
    code = (
        "import gc, os, signal; from consumer.model import load_engine\n"
        f"load = lambda: load_engine({str(directory)!r}, backend='openvino')\n"
        "first, second = load(), load(); del first; gc.collect(); third = load(); del second; gc.collect(); del third\n"
        "gc.collect(); signal.signal(signal.SIGTERM, lambda *_: None); os.kill(os.getpid(), signal.SIGTERM)"
    )
    faulthandler = {"PYTHONFAULTHANDLER": "1"}  # has a stack for signals, as pytest and many services do
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | faulthandler)


def test_nothing_is_reported_to_the_makers_of_openvino(directory: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; from consumer.model import load_engine; load_engine({str(directory)!r}, backend='openvino')\n"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(tmp_path)})
    assert not list(tmp_path.iterdir())  # where it would keep the identity it makes up for this machine


def test_a_pass_more_costs_less_on_a_cpu_than_on_a_gpu() -> None:
    assert 0 < pass_tokens(CPU) < pass_tokens(torch.device("cuda"))
