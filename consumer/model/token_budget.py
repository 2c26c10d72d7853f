"""How many tokens one forward pass may hold: less each time the device runs out of memory, and when to give up."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
import torch

from consumer.backoff import Backoff
from consumer.model.errors import ModelError

log = structlog.get_logger()

Result = TypeVar("Result")

FIRST_WAIT_S = 0.5
"""Memory comes back when a neighbour on the device ends a pass or a process, which takes moments, not milliseconds."""
MOST_WAIT_S = 5.0
GIVE_UP_AFTER_S = 30.0
"""Longer than a neighbour needs to end or restart. Later a supervisor, which can start elsewhere, does more good."""

# What torch, OpenVINO and the libraries under them say when memory is short; not all of it comes as OutOfMemoryError.
_SAY_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "_STATUS_ALLOC_FAILED",
    "Failed to allocate",
    "bad_alloc",
)


class TokenBudget:
    """The token budget of one model on one device; used by one thread.

    It starts at `most_tokens` and is halved by every failure down to `least_tokens`, what one longest text needs. It
    does not grow again: each try whether the old one fits could cost a failed pass.
    """

    def __init__(
        self,
        model: str,
        device: torch.device,
        *,
        most_tokens: int,
        least_tokens: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.tokens = most_tokens
        self._model = model
        self._device = device
        self._least_tokens = least_tokens
        self._sleep = sleep
        self._backoff = Backoff(FIRST_WAIT_S, MOST_WAIT_S, GIVE_UP_AFTER_S, clock=clock)
        self._waiting = False

    def attempt(self, run: Callable[[], Result], packed_for_tokens: int) -> Result | None:
        """Return what `run` returns; None when it ran out of memory, and may be tried again within `tokens`.

        Before None it frees what is cached, then halves the budget, or waits where that is at its least; what was
        packed for a larger budget than today's says nothing about today's. Blocks. Raises ModelError when waiting has
        not helped for `GIVE_UP_AFTER_S`, and whatever else `run` raises.
        """
        try:
            result = run()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            self._backoff.reset()
            self._waiting = False
            return result
        # Not in the handler: until that is left, the error's frames hold the very tensors that are to be freed.
        self._make_room(packed_for_tokens)
        return None

    def _make_room(self, packed_for_tokens: int) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self.tokens < packed_for_tokens:
            return
        if self.tokens > self._least_tokens:
            before, self.tokens = self.tokens, max(self._least_tokens, self.tokens // 2)
            log.warning(
                "model_out_of_memory",
                model=self._model,
                device=str(self._device),
                tokens=before,
                halved_to=self.tokens,
                remedy="lower MAX_BATCH_TOKENS, or leave this process more of the device's memory; "
                "until it is restarted it goes on with the smaller micro-batches",
            )
        else:
            self._wait()

    def _wait(self) -> None:
        delay_s = self._backoff.delay_s()
        if delay_s is None:
            raise ModelError(
                f"the model {self._model} finds too little memory on {self._device}: for {GIVE_UP_AFTER_S:g} s not "
                f"even a forward pass of {self.tokens} tokens has fitted; see what else uses that memory (nvidia-smi "
                "lists the processes on a GPU), lower MAX_BATCH_TOKENS, or set MODEL_DEVICE to another device"
            )
        if not self._waiting:
            self._waiting = True
            log.warning(
                "model_waits_for_memory",
                model=self._model,
                device=str(self._device),
                tokens=self.tokens,
                give_up_after_s=GIVE_UP_AFTER_S,
                remedy="see what else uses the device's memory",
            )
        self._sleep(delay_s)


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` says that memory is short, which passes; any other error of a forward pass is the text's or the
    model's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAY_OUT_OF_MEMORY)
