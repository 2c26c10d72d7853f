"""A GPU's lane of work as far as a CPU can be one: what is told is done at once."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch


class HostLane:
    """Runs anew what a GPU would replay, into the same memory, as a graph does; but at once, so that memory of the host
    which is given back too early does no harm here.

    The first captures, `without_memory` many, find no memory for what they run.
    """

    device = torch.device("cpu")

    def __init__(self, without_memory: int = 0) -> None:
        self._without_memory = without_memory
        self._failure: Exception | None = None
        self.replays = 0

    def staging(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.full(shape, 77, dtype=dtype)  # whatever was there before

    def work(self) -> AbstractContextManager[object]:
        return nullcontext()

    def captured(self, run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        if self._without_memory:
            self._without_memory -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        logits = run().clone()

        def replay() -> torch.Tensor:
            self.replays += 1
            return logits.copy_(run())

        return replay

    def mark(self) -> Callable[[], None]:
        failure, self._failure = self._failure, None

        def wait() -> None:
            if failure:
                raise failure

        return wait

    def fail_next(self, failure: Exception) -> None:
        """Let who waits for the next pass meet `failure`, as a device reports what went wrong only then."""
        self._failure = failure
