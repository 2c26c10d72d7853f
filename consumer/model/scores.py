"""From a network's logits to the scores of tag groups."""

from collections.abc import Mapping

import torch

from consumer.model.labels import TagGroups


def scores_of(logits: torch.Tensor, groups: TagGroups) -> torch.Tensor:
    """Return the scores of each text, shape (texts, scores), in the order of the tag groups."""
    parts = []
    for group in groups.groups:
        columns = logits[:, list(group.columns)]
        parts.append(columns.softmax(dim=1) if group.activation == "softmax" else columns.sigmoid())
    return torch.cat(parts, dim=1)


def per_column(groups: TagGroups, by_group: Mapping[str, float], otherwise: float) -> torch.Tensor:
    """Return the number of each logit's tag group, `otherwise` where it has none."""
    columns = {column: by_group.get(group.name, otherwise) for group in groups.groups for column in group.columns}
    return torch.tensor([columns.get(column, otherwise) for column in range(max(columns) + 1)])
