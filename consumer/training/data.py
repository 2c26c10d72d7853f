"""Labelled comments: reading them from files and making them fit to train on."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from consumer.model.cleaning import clean
from consumer.training.errors import TrainingError

LABELS = {"sentiment": ("negative", "neutral", "positive"), "toxicity": ("clean", "toxic")}
"""The labels of every tag group; a row carries one label of at least one group."""


class Row(NamedTuple):
    """One labelled comment: `labels` maps tag group to label, `source` says where it came from (may be empty)."""

    text: str
    labels: dict[str, str]
    source: str


def read_rows(path: Path) -> list[Row]:
    """Read a JSONL or CSV file (either may end in .gz) of rows {text, sentiment and/or toxicity, source}.

    Raises TrainingError naming the file and the line for anything that is not such a row.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    records = _csv_records if ".csv" in path.suffixes else _jsonl_records
    rows = [_row(record, f"{path}:{line}") for line, record in records(text, path)]
    if not rows:
        raise TrainingError(f"{path} holds no rows; give one labelled comment a line")
    return rows


def cleaned(rows: Iterable[Row]) -> list[Row]:
    """Return the rows with cleaned texts, without empty ones and, of equal texts, only the first."""
    unique: dict[str, Row] = {}
    for row in rows:
        text = clean(row.text)
        if text:
            unique.setdefault(text, row._replace(text=text))
    return list(unique.values())


def without(rows: Iterable[Row], held_out: Iterable[Row]) -> list[Row]:
    """Return the rows whose text is not, in any letter case, among the held-out ones: dev must stay unseen."""
    seen = {row.text.casefold() for row in held_out}
    return [row for row in rows if row.text.casefold() not in seen]


def assume_clean(rows: Iterable[Row], sources: Iterable[str]) -> list[Row]:
    """Return the rows with toxicity "clean" on those of `sources` that carry no toxicity label."""
    chosen = set(sources)
    return [
        row._replace(labels=row.labels | {"toxicity": "clean"})
        if row.source in chosen and "toxicity" not in row.labels
        else row
        for row in rows
    ]


def _jsonl_records(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            yield line, json.loads(content)
        except (ValueError, RecursionError):
            raise TrainingError(f"{path}:{line} is not JSON; write one JSON object a line") from None


def _csv_records(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "text" not in (reader.fieldnames or ()):
        raise TrainingError(f'{path}:1 has no column "text"; name the columns text, sentiment and/or toxicity')
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise TrainingError(f"{path}:{reader.line_num} is not CSV: {error}") from None


def _row(record: Any, where: str) -> Row:
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise TrainingError(f'{where} has no text; a row is {{"text": "…", "sentiment": "positive"}}')
    labels = {}
    for group, known in LABELS.items():
        label = record.get(group)
        if label is None or label == "":
            continue
        if label not in known:
            raise TrainingError(f"{where} has an unknown {group} label; use {', '.join(known)}")
        labels[group] = label
    if not labels:
        raise TrainingError(f"{where} has no label; give it sentiment and/or toxicity")
    source = record.get("source")
    return Row(record["text"], labels, source if isinstance(source, str) else "")
