"""An NVIDIA GPU's stream of work, and its graphs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_WARM_UPS = 2
"""Runs before capturing: libraries choose their kernels and take their workspaces in the first ones, which must not be
captured (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs)."""


class CudaLane:
    """One stream beside the default one; all of its graphs share their memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None  # that of the first graph, so that one which found no memory takes no other's with it

    def staging(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        """Return memory that is never swapped out, which is what the device can copy by itself."""
        with torch.cuda.device(self.device):
            return torch.empty(shape, dtype=dtype, pin_memory=True)

    @contextmanager
    def work(self) -> Iterator[None]:
        """What is told to PyTorch within is worked on this stream."""
        # The device too: a stream alone, when it is left, would give the first GPU a context that nobody needs.
        with torch.cuda.device(self.device), torch.cuda.stream(self._stream):
            yield

    def captured(self, run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """Return what replays the kernels that `run` launches. Raises what `run` raises, or what may not be captured,
        such as waiting for the device."""
        torch.cuda.synchronize(self.device)  # for what was made on the default stream
        with self.work():
            for _ in range(_WARM_UPS):
                run()
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile: only what this one does must be fit for a graph.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                logits = run()
        self._pool = graph.pool()

        def replay() -> torch.Tensor:
            graph.replay()
            return logits

        return replay

    def mark(self) -> Callable[[], None]:
        """Return what waits for the work so far, without spinning: a processor has better things to do."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event.synchronize
