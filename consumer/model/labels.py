"""Tag groups: which of a model's logits say what, and what the scores mean as tags."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import structlog

from consumer.answer import Answer, GivenTag
from consumer.model.errors import ModelError

log = structlog.get_logger()

Activation = Literal["softmax", "sigmoid"]

SENTIMENT_LABELS = frozenset({"negative", "neutral", "positive"})
_TOXICITY_LABELS = frozenset({"toxic", "toxicity", "non-toxic", "non_toxic", "nontoxic", "not toxic", "clean"})
_UNNAMED = re.compile(r"label_\d+")
_SCORE_SCALE = 10_000  # four digits; `round(score, 4)` takes three times as long


@dataclass(frozen=True)
class TagGroup:
    """One tag group: `labels` names the logit of each of `columns`; several logits may carry one label.

    With "softmax" the columns compete and logits of one label add up. With "sigmoid" every column stands alone, the
    highest of one label counts, and `complement`, if there is one, is the label of a text that no other fits.
    """

    name: str
    activation: Activation
    labels: tuple[str, ...]
    columns: tuple[int, ...]
    complement: str | None = None

    def label_scores(self, scores: Sequence[float]) -> dict[str, float]:
        """Return the score of every label from the scores of this group's columns."""
        if self._plain:
            return self._plain_scores(scores)
        if self.activation == "softmax":
            summed = dict.fromkeys(self.labels, 0.0)
            for label, score in zip(self.labels, scores, strict=True):
                summed[label] += score
            return {label: min(score, 1.0) for label, score in summed.items()}
        highest = dict.fromkeys(self.labels, 0.0) if self.complement is None else {self.complement: 0.0}
        for label, score in zip(self.labels, scores, strict=True):
            highest[label] = max(highest.get(label, 0.0), score)
        if self.complement is not None:
            highest[self.complement] = 1.0 - max(scores)
        return highest

    @cached_property
    def _plain(self) -> bool:
        """Whether every label has one column, as almost always: then nothing is added up (2 µs less a comment)."""
        names = (*self.labels, self.complement)
        return len(set(names)) == len(names)

    def _plain_scores(self, scores: Sequence[float]) -> dict[str, float]:
        if self.activation == "softmax" or self.complement is None:
            return {label: min(score, 1.0) for label, score in zip(self.labels, scores, strict=True)}
        return {self.complement: 1.0 - max(scores), **dict(zip(self.labels, scores, strict=True))}


@dataclass(frozen=True)
class TagGroups:
    """All tag groups of one model, in the order in which an answer lists their scores."""

    groups: tuple[TagGroup, ...]

    def tags(self, answer: Answer) -> dict[str, GivenTag]:
        """Return one tag per group. The label is the highest score before rounding, so near ties stay decided."""
        tags = {}
        for name, scores in self.scores(answer).items():
            label = max(scores, key=scores.__getitem__)
            rounded = {name: round(score * _SCORE_SCALE) / _SCORE_SCALE for name, score in scores.items()}
            tags[name] = GivenTag(label, rounded[label], rounded)
        return tags

    def scores(self, answer: Answer) -> dict[str, dict[str, float]]:
        """Return the score of every label per group, not rounded."""
        by_group = {}
        start = 0
        for group in self.groups:
            end = start + len(group.labels)
            by_group[group.name] = group.label_scores(answer.scores[start:end])
            start = end
        return by_group

    def label_names(self) -> dict[str, tuple[str, ...]]:
        """Return every label of every group, complements included."""
        return {group.name: tuple(group.label_scores([0.0] * len(group.labels))) for group in self.groups}

    @property
    def score_count(self) -> int:
        """How many scores an answer of this model holds."""
        return sum(len(group.labels) for group in self.groups)

    @property
    def competing(self) -> list[slice]:
        """Where in an answer the scores stand that sum to one: one slice for each softmax group."""
        slices = []
        start = 0
        for group in self.groups:
            end = start + len(group.labels)
            if group.activation == "softmax":
                slices.append(slice(start, end))
            start = end
        return slices

    def description(self) -> str:
        """Return the groups as text that differs whenever a score would mean something else."""
        return json.dumps([[g.name, g.activation, g.labels, g.columns, g.complement] for g in self.groups])


def tag_groups(config: Any, mapping: Mapping[str, str] | None, model: str) -> TagGroups:
    """Read the tag groups of a Hugging Face config, with the labels renamed by `mapping` (the setting MODEL_LABELS).

    Raises ModelError when the config does not say what its logits mean and the mapping does not either.
    """
    names = [str(config.id2label[index]) for index in range(config.num_labels)]
    own = getattr(config, "tag_groups", None)
    if own is None:
        return _inferred(config, names, mapping or {}, model)
    if mapping:
        raise ModelError(f"the model {model} names its tag groups itself; remove its labels from MODEL_LABELS")
    return _declared(own, names, model)


def _declared(own: Any, names: Sequence[str], model: str) -> TagGroups:
    groups = []
    try:
        labels = {name: tuple(str(label) for label in spec["labels"]) for name, spec in own.items()}
        columns = iter(_columns([(name, label) for name in labels for label in labels[name]], names, model))
        for name, spec in own.items():
            if spec["activation"] not in ("softmax", "sigmoid"):
                raise ValueError
            own_columns = tuple(islice(columns, len(labels[name])))
            groups.append(TagGroup(name, spec["activation"], labels[name], own_columns, spec.get("complement")))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ModelError(
            f'the model {model} has unreadable tag_groups in its config.json; a group is {{"labels": ["negative", '
            '"neutral", "positive"], "activation": "softmax"} or {"labels": ["toxic"], "complement": "clean", '
            '"activation": "sigmoid"}'
        ) from None
    declared = sum(len(group.labels) for group in groups)
    if declared != len(names) or not groups:
        raise ModelError(
            f"the model {model} has {len(names)} logits but its tag_groups name {declared}; correct config.json"
        )
    return TagGroups(tuple(groups))


def _columns(labels: Sequence[tuple[str, str]], names: Sequence[str], model: str) -> list[int]:
    """Where the logit of each label stands: by its name in id2label, "label" or "group.label", because save_pretrained
    sorts the groups of a config; where the names do not say it, in the order of the labels."""
    place = {name.lower(): column for column, name in enumerate(names)}
    by_name = [place.get(f"{group}.{label}".lower(), place.get(label.lower(), -1)) for group, label in labels]
    if sorted(by_name) == list(range(len(names))):
        return by_name
    if len(labels) == len(names) and not all(_UNNAMED.fullmatch(name.lower()) for name in names):
        log.warning(
            "tag_groups_by_order",
            model=model,
            logits=names,
            labels=[f"{group}.{label}" for group, label in labels],
            meaning="id2label in config.json names other labels than tag_groups do, so logits are taken in their order",
            remedy='write "group.label" for each logit into id2label',
        )
    return list(range(len(labels)))


def _inferred(config: Any, names: list[str], mapping: Mapping[str, str], model: str) -> TagGroups:
    mapped = _mapped(names, mapping, model)
    activation = _activation(config, model)
    undotted = [label for label in mapped if "." not in label]
    default = _group_name(undotted, activation, model) if undotted else ""
    members: dict[str, list[tuple[int, str]]] = {}
    for column, name in enumerate(mapped):
        group, _, label = name.rpartition(".")
        members.setdefault(group or default, []).append((column, label))
    groups = []
    for name, pairs in members.items():
        columns, labels = zip(*pairs, strict=True)
        if activation == "softmax" and len(set(labels)) < 2:
            raise ModelError(
                f"the model {model} gives the tag group {name} one label only; map it to two: {_example(model)}"
            )
        complement = "clean" if activation == "sigmoid" and name == "toxicity" and "clean" not in labels else None
        groups.append(TagGroup(name, activation, labels, columns, complement))
    return TagGroups(tuple(groups))


def _mapped(names: list[str], mapping: Mapping[str, str], model: str) -> list[str]:
    unknown = sorted(set(mapping) - set(names))
    if unknown:
        raise ModelError(
            f"MODEL_LABELS maps {', '.join(unknown)}, but the labels of the model {model} are {', '.join(names)}"
        )
    return [mapping.get(name, name).strip().lower() for name in names]


def _activation(config: Any, model: str) -> Activation:
    if config.problem_type == "regression":
        raise ModelError(f"the model {model} predicts a number, not labels; choose a classification model")
    if config.problem_type == "multi_label_classification":
        return "sigmoid"
    if config.problem_type == "single_label_classification":
        return "softmax"
    return "softmax" if config.num_labels > 1 else "sigmoid"


def _group_name(labels: list[str], activation: Activation, model: str) -> str:
    named = not any(_UNNAMED.fullmatch(label) for label in labels)
    if SENTIMENT_LABELS.issuperset(labels):
        return "sentiment"
    if named and (activation == "sigmoid" or not _TOXICITY_LABELS.isdisjoint(labels)):
        return "toxicity"
    raise ModelError(
        f"the labels {', '.join(labels)} of the model {model} do not say whether they are sentiment or toxicity; "
        f"map them, as in {_example(model)}"
    )


def _example(model: str) -> str:
    labels = {model: {"LABEL_0": "sentiment.negative", "LABEL_1": "sentiment.positive"}}
    return f"MODEL_LABELS='{json.dumps(labels, ensure_ascii=False)}'"
