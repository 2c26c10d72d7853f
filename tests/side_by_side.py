"""What runs a model with several passes side by side, without the threads that would take."""

from collections.abc import Callable
from typing import Any

import torch

from consumer.model import Engine
from consumer.model.rows import OneTextARow
from consumer.telemetry.metrics import Metrics
from tests.tiny_engine import letter_z


class SideBySide(OneTextARow):
    """Begins three passes before it waits for the first; those with a `z` fail when they are waited for."""

    passes_at_once = 3

    def __init__(self, engine: Engine, error: Exception, *, begins: bool = True) -> None:
        super().__init__(engine.network)
        self._begins = begins
        self.waiting = self.most_waiting = 0
        self._z = letter_z(engine)
        self._error = error

    def forward(self, input_ids: torch.Tensor, text_numbers: torch.Tensor, *places: torch.Tensor) -> Any:
        if bool(torch.eq(input_ids, self._z).any()):
            raise self._error
        return super().forward(input_ids, text_numbers, *places)

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        if not self._begins:
            raise self._error
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)

        def wait() -> torch.Tensor:
            self.waiting -= 1
            logits: torch.Tensor = self(*laid_out)
            return logits

        return wait


def seconds_of_passes(metrics: Metrics) -> float:
    """How long the model ran in all, as Prometheus is told."""
    seconds = metrics.registry.get_sample_value("moderation_model_pass_seconds_sum")
    assert seconds is not None
    return seconds
