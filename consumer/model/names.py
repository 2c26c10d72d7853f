"""Names of labels and tag groups that events, metrics, settings, terminals and logs can all carry."""

from collections.abc import Sequence

from consumer.model.errors import ModelError

_MOST_LABELS = 1000  # every label is a time series of the metrics
_MOST_CHARACTERS = 100


def check_names(names: Sequence[str], model: str) -> None:
    """Raise ModelError for names that not everything can carry, and for too many."""
    if len(names) > _MOST_LABELS:
        raise ModelError(f"the model {model} has {len(names):,} labels; {_MOST_LABELS:,} at most can be tags")
    for name in names:
        if not name.strip() or len(name) > _MOST_CHARACTERS or not name.isprintable():
            raise ModelError(
                f"the model {model} has a label or tag group named {name[:_MOST_CHARACTERS]!a}; a name has 1 to "
                f"{_MOST_CHARACTERS} characters that can be printed, so correct it in config.json"
            )


def check_group(group: str, labels: Sequence[str], complement: str | None, model: str) -> None:
    """Raise ModelError for names of a group that could be taken for one another."""
    all_labels = [*labels, *([] if complement is None else [complement])]
    check_names([group, *all_labels], model)
    if dotted := [label for label in all_labels if "." in label]:
        raise ModelError(
            f"the model {model} has a label with a full stop, {dotted[0]}, which settings could not tell from "
            '"group.label"; rename it in config.json'
        )
    if complement in labels:
        raise ModelError(
            f"the model {model} gives {complement} to a text that no label of {group} fits, and as one of its labels; "
            "rename the complement in config.json"
        )
