"""Labelled comments: reading them from files and making them fit to train on."""

import csv
import gzip
import io
import json
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping
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


class NumberedRow(NamedTuple):
    """A row, the line of its file (1 is the first) and the language its producer named (BCP 47; may be empty)."""

    row: Row
    line: int
    language: str


def read_rows(path: Path) -> list[Row]:
    """Read a JSONL or CSV file (either may end in .gz) of rows {text, sentiment and/or toxicity, source}.

    Raises TrainingError naming the file and the line for anything that is not such a row.
    """
    return [numbered.row for numbered in read_numbered(path)]


def read_numbered(path: Path) -> list[NumberedRow]:
    """Read what `read_rows` reads, with the lines and, where rows have the field `language`, the languages.

    Raises TrainingError naming the file and the line for anything that is not such a row.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TrainingError(f"{path} cannot be read: {reason}; name a JSONL or CSV file (.gz too)") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    records = _csv_records if ".csv" in path.name.lower() else _jsonl_records
    rows = [
        NumberedRow(_row(record, f"{path}:{line}"), line, _text(record, "language"))
        for line, record in records(text, path)
    ]
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


def mixed(rows: Iterable[Row], weights: Mapping[str, float], seed: int) -> list[Row]:
    """Return one epoch's rows: those of a source in `weights` as often as it says, of the others once.

    A fraction is a random choice: 1.5 gives every row once and half of them again. The same `seed` chooses the same.
    """
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    chance = random.Random(seed)  # noqa: S311 - not a secret
    epoch = []
    for source, part in by_source.items():
        whole, fraction = divmod(weights.get(source, 1.0), 1.0)
        epoch += part * int(whole) + chance.sample(part, round(fraction * len(part)))
    return epoch


def _jsonl_records(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            yield line, json.loads(content)
        except (ValueError, RecursionError):
            raise TrainingError(f"{path}:{line} is not JSON; write one JSON object a line") from None


def _csv_records(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
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
    return Row(record["text"], labels, _text(record, "source"))


def _text(record: Any, field: str) -> str:
    value = record.get(field)
    return value if isinstance(value, str) else ""
