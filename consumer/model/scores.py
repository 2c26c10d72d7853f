"""From a network's logits to the scores of tag groups, as the model's calibration corrects them."""

from collections.abc import Mapping

import torch

from consumer.model.calibration import Calibration
from consumer.model.labels import TagGroups


class NotFiniteError(Exception):
    """The model answered with NaN or infinity."""


class Scoring:
    """What a model's logits mean: its tag groups and its calibration."""

    def __init__(self, groups: TagGroups, calibration: Calibration) -> None:
        self._groups = groups
        self._temperatures = _per_column(groups, calibration.temperatures, 1.0)
        self._offsets = _per_column(groups, calibration.offsets, 0.0)

    def calibrated(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (texts, logits), as the calibration corrects them."""
        return logits / self._temperatures.to(logits.device) + self._offsets.to(logits.device)

    def scores(self, logits: torch.Tensor) -> list[list[float]]:
        """Return the scores of each text, in the order of the tag groups. Raises NotFiniteError."""
        calibrated = self.calibrated(logits)
        parts = []
        for group in self._groups.groups:
            columns = calibrated[:, list(group.columns)]
            parts.append(columns.softmax(dim=1) if group.activation == "softmax" else columns.sigmoid())
        scores = torch.cat(parts, dim=1)
        if not bool(torch.isfinite(scores).all()):
            raise NotFiniteError
        by_text: list[list[float]] = scores.tolist()
        return by_text


def _per_column(groups: TagGroups, by_group: Mapping[str, float], otherwise: float) -> torch.Tensor:
    """Return the number of each logit's tag group, `otherwise` where it has none."""
    columns = {column: by_group.get(group.name, otherwise) for group in groups.groups for column in group.columns}
    return torch.tensor([columns.get(column, otherwise) for column in range(max(columns) + 1)])
