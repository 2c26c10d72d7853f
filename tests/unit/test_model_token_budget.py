"""The token budget alone, and what says that memory is short."""

import weakref

import pytest
import torch

from consumer.model.token_budget import TokenBudget, is_out_of_memory


def test_a_pass_that_was_packed_for_a_larger_budget_does_not_halve_today_s() -> None:
    def run() -> bool:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    budget = TokenBudget("tiny", torch.device("cpu"), most_tokens=64, least_tokens=8)
    for halved_to, packed_for in ((32, 64), (32, 64), (16, 32), (16, 64)):
        assert budget.attempt(run, packed_for) is None
        assert budget.tokens == halved_to


@pytest.mark.parametrize(("device", "emptied"), [("cuda", 1), ("cpu", 0)])
def test_the_cache_is_emptied_on_cuda_only_and_when_the_failed_pass_has_let_go_of_its_tensors(
    monkeypatch: pytest.MonkeyPatch, device: str, emptied: int
) -> None:
    tensors: list[weakref.ref[torch.Tensor]] = []
    held: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.append(tensors[0]() is not None))

    def run() -> bool:
        activations = torch.zeros(3)
        tensors.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    budget = TokenBudget("tiny", torch.device(device), most_tokens=64, least_tokens=24)
    assert budget.attempt(run, budget.tokens) is None
    assert held == [False] * emptied
    assert budget.tokens == 32


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.0 GB)"),
        MemoryError(),
        RuntimeError("Check 'ptr' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:257:\nFailed to allocate 1 bytes"),
    ],
)
def test_every_way_of_saying_that_memory_is_short_is_understood(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_torchs_own_words_for_too_little_memory_on_the_cpu_are_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("The size of tensor a (513) must match the size of tensor b (512)"),
        ValueError("out of memory"),
    ],
)
def test_other_failures_are_not_taken_for_short_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
