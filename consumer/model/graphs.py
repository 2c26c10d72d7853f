"""A classifier on a GPU whose forward passes are graphs, prepared once for each bucket.

Called from Python, each of a pass's hundred kernels is launched by itself, which takes longer than a small model needs
to run it, and holds the interpreter meanwhile. A graph launches all of them at once. **Not measured yet: no GPU was at
hand; all but the few lines of `cuda_lane.py` is tested on a CPU.**
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, Protocol

import structlog
import torch

from consumer.model.buckets import WIDTH_STEPS, Bucket, Buckets
from consumer.model.rows import OneTextARow
from consumer.model.token_budget import is_out_of_memory

log = structlog.get_logger()

PASS_TOKENS = 1_000
"""An estimate: some hundred kernels of 2 to 3 µs each, in which a GPU does about as many tokens of a small model."""


class Lane(Protocol):
    """Where a device works in the order it is told to, while the host goes on."""

    device: torch.device

    def staging(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        """Return memory of the host that the device reads and writes by itself."""
        ...

    def work(self) -> AbstractContextManager[object]:
        """What is told to PyTorch within is worked here."""
        ...

    def captured(self, run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """Return what does again, within `work`, what `run` does, with what its tensors hold by then.

        It returns the same tensor each time, which lasts until anything else that was captured runs.
        """
        ...

    def mark(self) -> Callable[[], None]:
        """Return what waits until all that was told so far is done; raises what went wrong."""
        ...


class _Slot(NamedTuple):
    """Memory of the host for one pass in flight."""

    numbers: torch.Tensor
    logits: torch.Tensor


class GraphedNetwork:
    """Runs passes as graphs, two of each job in flight: while one runs, the next one is laid out and queued.

    A pass that no bucket holds is run by PyTorch when it is waited for.
    """

    backend = "cuda-graphs"
    width_steps = WIDTH_STEPS
    pass_tokens = PASS_TOKENS
    passes_at_once = 2
    alone_is_faster = False

    def __init__(self, network: OneTextARow, lane: Lane, buckets: Buckets, pad_id: int) -> None:
        """Capture `network`, which is on the lane's device, for all `buckets` that fit into memory; takes seconds.
        Raises what capturing raises."""
        self.classifier = network.classifier
        self.device, self.dtype = lane.device, network.dtype
        self.shares_rows = network.shares_rows
        self._network = network
        self._lane = lane
        self._buckets = buckets
        self._pad_id = pad_id
        every = buckets.all()
        self._most_numbers = max(bucket.numbers for bucket in every)
        self._most_texts = max(bucket.texts for bucket in every)
        # One for all graphs: they run one after the other.
        self._inputs = torch.zeros(self._most_numbers, dtype=torch.int32, device=lane.device)
        self._idle: list[_Slot] = []
        self._graphs: dict[Bucket, Callable[[], torch.Tensor]] = {}
        for bucket in every:
            self._capture(bucket)
        log.info("passes_captured", device=str(self.device), graphs=len(self._graphs), of=len(every))

    def run(self, *laid_out: torch.Tensor) -> torch.Tensor:
        """Run one pass."""
        return self.begin(*laid_out)()

    @torch.inference_mode()
    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Queue a pass on the device; it has a slot of its own until it was waited for."""
        (rows, width), texts = laid_out[0].shape, len(laid_out[-1])
        holding = self._buckets.holding(rows, width, texts)
        bucket = next((bucket for bucket in holding if bucket in self._graphs), None)
        if bucket is None:
            return self._network.begin(*laid_out)
        slot = self._idle.pop() if self._idle else self._new_slot()
        numbers = slot.numbers[: bucket.numbers]
        _stage(numbers, bucket, laid_out, self._pad_id)
        with self._lane.work():
            self._inputs[: bucket.numbers].copy_(numbers, non_blocking=True)
            slot.logits[:texts].copy_(self._graphs[bucket]()[:texts], non_blocking=True)
            done = self._lane.mark()
        return partial(self._wait, done, slot, texts)

    def _wait(self, done: Callable[[], None], slot: _Slot, texts: int) -> torch.Tensor:
        done()
        logits = slot.logits[:texts].clone()
        self._idle.append(slot)
        return logits

    def _capture(self, bucket: Bucket) -> None:
        parts = _parts(self._inputs, bucket)  # zeros, which are as good as texts: what is captured is what is done
        try:
            with torch.inference_mode():
                self._graphs[bucket] = self._lane.captured(partial(self._network, *parts))
        except Exception as error:
            if not is_out_of_memory(error):
                raise

    def _new_slot(self) -> _Slot:
        logits = self.classifier.config.num_labels
        return _Slot(
            self._lane.staging(self._most_numbers, dtype=torch.int32),
            self._lane.staging(self._most_texts, logits, dtype=torch.float32),
        )


def _parts(numbers: torch.Tensor, bucket: Bucket) -> list[torch.Tensor]:
    """The tensors of a `LaidOut` within `numbers`, where they lie one behind the other, to be copied at once."""
    area = bucket.rows * bucket.tokens
    by_token = numbers[: 3 * area].view(3, bucket.rows, bucket.tokens)
    return [*by_token, numbers[3 * area : bucket.numbers]]


def _stage(numbers: torch.Tensor, bucket: Bucket, laid_out: tuple[torch.Tensor, ...], pad_id: int) -> None:
    """Write a pass into `numbers`, padded to `bucket`."""
    parts = _parts(numbers, bucket)
    numbers.zero_()
    parts[0].fill_(pad_id)
    *by_token, firsts = laid_out
    rows, width = by_token[0].shape
    for part, tensor in zip(parts[:3], by_token, strict=True):
        part[:rows, :width] = tensor
    parts[3][: len(firsts)] = firsts + firsts // width * (bucket.tokens - width)
    parts[1][rows:, 0] = 1  # a row that sees nothing at all would be NaN
