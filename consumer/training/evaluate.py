"""Measuring a model through the engine the stream runs: same cleaning, truncation and number format."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from sklearn.metrics import accuracy_score, precision_recall_fscore_support  # type: ignore[import-untyped]

from consumer.answer import Unanswerable
from consumer.model import Engine
from consumer.training.data import LABELS, Row
from consumer.training.errors import TrainingError

_CHUNK_ROWS = 2048  # bounds the memory of tokenised texts, and is plenty to fill every micro-batch

Pairs = list[tuple[str, str]]
"""(wanted label, predicted label) of every row measured."""


def evaluate(engine: Engine, rows: Sequence[Row]) -> dict[str, Any]:
    """Return accuracy, and precision, recall and F1 per label and macro, per tag group, whole and by source.

    Raises TrainingError when the rows have no label of any of the model's tag groups.
    """
    by_group: dict[str, dict[str, Pairs]] = defaultdict(lambda: defaultdict(list))
    unanswerable = 0
    for row, predicted in _predictions(engine, rows):
        if predicted is None:
            unanswerable += 1
            continue
        for group, wanted in row.labels.items():
            if group in predicted:
                by_group[group][row.source].append((wanted, predicted[group]))
    if not by_group:
        raise TrainingError(
            f"no row has a label of the tag groups of {engine.name} ({', '.join(engine.tag_groups.label_names())}); "
            "choose rows with such labels"
        )
    return {
        "model": {"name": engine.name, "version": engine.version, "fingerprint": engine.fingerprint},
        "rows": len(rows),
        "unanswerable": unanswerable,
        "groups": {group: _measured(group, by_source) for group, by_source in by_group.items()},
    }


def tables(report: dict[str, Any]) -> Iterator[Table]:
    """Yield one table per tag group: a line per label, the macro average, and a line per source."""
    for group, measured in report["groups"].items():
        title = f"{group}: accuracy {measured['accuracy']:.3f} on {measured['rows']} rows"
        table = Table("", "precision", "recall", "F1", "rows", title=title)
        for label, scores in measured["labels"].items():
            table.add_row(label, *_cells(scores))
        table.add_section()
        table.add_row("macro", *_cells(measured["macro"]))
        for source, part in measured["sources"].items():
            table.add_row(f"macro, {source or 'no source'}", *_cells(part["macro"]))
        yield table


def _predictions(engine: Engine, rows: Sequence[Row]) -> Iterator[tuple[Row, dict[str, str] | None]]:
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        for row, answer in zip(chunk, engine.classify([engine.model_text(row.text) for row in chunk]), strict=True):
            if isinstance(answer, Unanswerable):
                yield row, None
            else:
                yield row, {group: tag.label for group, tag in engine.tag_groups.tags(answer).items()}


def _measured(group: str, by_source: dict[str, Pairs]) -> dict[str, Any]:
    pairs = [pair for part in by_source.values() for pair in part]
    sources = {source: _scores(group, by_source[source]) for source in sorted(by_source)}
    return _scores(group, pairs) | {"sources": {name: _without_labels(part) for name, part in sources.items()}}


def _scores(group: str, pairs: Pairs) -> dict[str, Any]:
    wanted, predicted = zip(*pairs, strict=True)
    # Labels that no row carries (SST-2 knows no neutral) have no recall, so they are left out of the average.
    labels = [label for label in LABELS[group] if label in wanted]
    columns = precision_recall_fscore_support(wanted, predicted, labels=labels, zero_division=0)
    per_label = {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(labels, *columns, strict=True)
    }
    macro: dict[str, float] = {
        name: sum(scores[name] for scores in per_label.values()) / len(per_label)
        for name in ("precision", "recall", "f1")
    }
    return {
        "rows": len(pairs),
        "accuracy": float(accuracy_score(wanted, predicted)),
        "macro": {**macro, "rows": len(pairs)},
        "labels": per_label,
    }


def _without_labels(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if name != "labels"}


def _cells(scores: dict[str, float]) -> list[str]:
    return [f"{scores[name]:.3f}" for name in ("precision", "recall", "f1")] + [str(scores["rows"])]
