"""An evaluation report as tables for a terminal of a hundred columns."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from consumer.terminal.text import printable

_MOST_COMMENT_CHARACTERS = 60


def tables(report: dict[str, Any]) -> Iterator[Table]:
    """Yield the tables of every tag group, and of the comparison if there is one."""
    for group, measured in report["groups"].items():
        yield _labels_table(group, measured)
        yield _confusion_table(measured["confusion"])
        if measured["thresholds"]:
            yield _thresholds_table(measured["thresholds"])
        yield _slices_table(measured["slices"])
    if "comparison" in report:
        yield _comparison_table(report["comparison"])
        if report["comparison"]["disagreements"]:
            yield _disagreements_table(report["comparison"]["disagreements"])


def number(value: float | None) -> str:
    """Return a figure with three digits, and a dash for one that is undefined."""
    return "–" if value is None else f"{value:.3f}"


def _labels_table(group: str, measured: dict[str, Any]) -> Table:
    table = _table("", "precision", "recall", "F1", "rows", title=f"{group}: {measured['rows']:,} rows")
    for label, scores in measured["labels"].items():
        table.add_row(Text(printable(label)), *_prf(scores), f"{scores['rows']:,}")
    table.add_section()
    table.add_row("macro", *_prf(measured["macro"]), "")
    intervals = measured["intervals"]
    facts = [
        f"accuracy {number(measured['accuracy'])}, 95 %: {_interval(intervals['accuracy'])}",
        f"macro-F1 {number(measured['macro']['f1'])}, 95 %: {_interval(intervals['macro_f1'])}",
        f"macro-recall {number(measured['macro']['recall'])}, 95 %: {_interval(intervals['macro_recall'])}",
        f"calibration error {number(measured['calibration']['ece'])}",
    ]
    if measured["roc_auc"] is not None:
        facts.append(
            f"ROC-AUC {number(measured['roc_auc'])}, average precision {number(measured['average_precision'])}"
        )
    elif measured["thresholds"]:
        facts.append(f"no ROC-AUC: every row is {next(iter(measured['labels']))}")
    table.caption = "\n".join(facts)
    return table


def _confusion_table(confusion: dict[str, Any]) -> Table:
    table = _table("wanted ↓  model →", *confusion["labels"])
    for label, counts in zip(confusion["labels"], confusion["matrix"], strict=True):
        table.add_row(Text(printable(label)), *(f"{count:,}" for count in counts))
    return table


def _thresholds_table(thresholds: list[dict[str, float | None]]) -> Table:
    table = _table("toxic at or above", "share", "precision", "recall", "false positives")
    for row in thresholds[1::2]:  # the tenths; the report has the steps between
        cells = (number(row[name]) for name in ("share", "precision", "recall", "false_positive_rate"))
        table.add_row(f"{row['threshold']:.2f}", *cells)
    return table


def _slices_table(slices: dict[str, dict[str, Any]]) -> Table:
    table = _table("slice", "rows", "accuracy", "macro-F1", "95 % interval", "macro-recall")
    for kind, parts in slices.items():
        table.add_section()
        for name, part in parts.items():
            f1_interval = _interval(part["intervals"]["macro_f1"]) if "intervals" in part else ""
            macro = part["macro"]
            figures = (number(part["accuracy"]), number(macro["f1"]), f1_interval, number(macro["recall"]))
            table.add_row(Text(printable(f"{kind} {name}")), f"{part['rows']:,}", *figures)
    return table


def _comparison_table(comparison: dict[str, Any]) -> Table:
    title = f"against {printable(comparison['other']['name'])}"
    columns = ("macro-F1", "other's", "difference", "95 % interval", "McNemar p", "verdict")
    table = _table("group", *columns, title=title)
    for group, measured in comparison["groups"].items():
        f1 = measured["macro_f1"]
        table.add_row(
            group,
            number(f1["model"]),
            number(f1["other"]),
            f"{measured['difference']:+.3f}",
            _interval(measured["interval"], sign="+"),
            f"{measured['mcnemar']['p']:.2g}",
            measured["verdict"],
        )
    return table


def _disagreements_table(disagreements: list[dict[str, str]]) -> Table:
    table = Table("comment", "wanted", "model", "other", title="Where they disagree most", title_justify="left")
    for row in disagreements:
        text = printable(row["text"])
        shown = text if len(text) <= _MOST_COMMENT_CHARACTERS else text[: _MOST_COMMENT_CHARACTERS - 1] + "…"
        table.add_row(Text(shown), row["wanted"], row["model"], row["other"])
    return table


def _table(first: str, *others: str, title: str | None = None) -> Table:
    table = Table(first, title=Text(title) if title else None, title_justify="left", caption_justify="left")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _prf(scores: dict[str, float]) -> list[str]:
    return [number(scores[name]) for name in ("precision", "recall", "f1")]


def _interval(bounds: list[float], sign: str = "") -> str:
    low, high = bounds
    return f"{low:{sign}.3f}…{high:{sign}.3f}"
