"""Labelled comments: reading them from files and making them fit to train on."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from consumer.answer import Unanswerable
from consumer.files import FileError, open_input
from consumer.json_bytes import whole_text
from consumer.model.cleaning import clean
from consumer.one_text import of_one_text
from consumer.text_limit import judged_part
from consumer.training.errors import TrainingError
from schemas import MAX_TEXT_CHARACTERS

LABELS = {"sentiment": ("negative", "neutral", "positive"), "toxicity": ("clean", "toxic")}
"""The labels of every tag group; a row carries one label of at least one group."""

_LINES_SHOWN = 20


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


class Reading(NamedTuple):
    """What a file holds: its rows; why the texts of other lines cannot be cleaned, which are left out; and the lines
    whose text is longer than MAX_TEXT_CHARACTERS, of which the beginning is read, as in the stream."""

    path: Path
    rows: list[NumberedRow]
    left_out: dict[int, str]
    cut: list[int]


def read_rows(path: Path, on_note: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Read what `read_file` reads, without the lines; `on_note` is also told which rows are left out or cut."""
    reading = read_file(path, on_note)
    for note in odd_texts(str(path), reading.left_out, reading.cut):
        on_note(note)
    return [numbered.row for numbered in reading.rows]


def read_file(path: Path, on_note: Callable[[str], None] = lambda _: None) -> Reading:
    """Read JSON lines or a table (packed by gzip or not) of rows {text, sentiment and/or toxicity, source, language}.

    `on_note` is told how a file is read where that is not as usual. Raises TrainingError naming the file and the line
    for anything that is not such a row.
    """
    reading = Reading(path, [], {}, [])
    try:
        file = open_input(str(path), on_note, strict=True)
        if file.kind == "text":
            raise TrainingError(f"{path}:1 is neither JSON nor a header with a column named text; give labelled rows")
        for line, content in file.entries():
            where = f"{path}:{line}"
            record = _object(content, where) if isinstance(content, str) else content
            row = _row(record, where)
            judged, is_cut = judged_part(row.text)
            row = row._replace(text=judged)
            if is_cut:
                reading.cut.append(line)
            failed = of_one_text(clean, row.text, named="cleaning")
            if isinstance(failed, Unanswerable):
                reading.left_out[line] = failed.detail
            else:
                reading.rows.append(NumberedRow(row, line, _text(record, "language")))
    except FileError as error:
        raise TrainingError(str(error).removesuffix(".")) from None
    return reading


def odd_texts(file: str, left_out: Mapping[int, str], cut: Sequence[int]) -> list[str]:
    """Return a sentence on the rows of a file that were left out, and one on those that were cut; no text is quoted."""
    notes = []
    if left_out:
        lines = _some([f"{line} ({why})" for line, why in left_out.items()])
        notes.append(f"{file}: rows left out because their texts cannot be cleaned: {len(left_out):,}, line {lines}")
    if cut:
        characters = f"{MAX_TEXT_CHARACTERS:,} characters"
        notes.append(f"{file}: texts of which only the first {characters} are read: {len(cut):,}, line {_some(cut)}")
    return notes


def _some(lines: Sequence[object]) -> str:
    return ", ".join(map(str, lines[:_LINES_SHOWN])) + (", …" if len(lines) > _LINES_SHOWN else "")


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


class _Doubled(Exception):  # noqa: N818 - never seen outside
    """A JSON object names a member twice; readers differ in which of them counts."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Doubled(next(name for name in names if names.count(name) > 1))
    return members


def _object(line: str, where: str) -> Any:
    try:
        # No field is a number here, and Python reads no integer of more than 4,300 digits.
        return json.loads(line.removeprefix("\ufeff"), object_pairs_hook=_members, parse_int=float)
    except _Doubled as doubled:
        raise TrainingError(f"{where} has the member {str(doubled)[:30]!a} twice; write it once") from None
    except (ValueError, RecursionError):
        raise TrainingError(f"{where} is not JSON; write one JSON object a line") from None


def _row(record: Any, where: str) -> Row:
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise TrainingError(f'{where} has no text; a row is {{"text": "…", "sentiment": "positive"}}')
    labels = {}
    for group, known in LABELS.items():
        label = record.get(group)
        label = label.strip() if isinstance(label, str) else label
        if label is None or label == "":
            continue
        if label not in known:
            raise TrainingError(f"{where} has an unknown {group} label; use {', '.join(known)}")
        labels[group] = label
    if not labels:
        raise TrainingError(f"{where} has no label; give it sentiment and/or toxicity")
    return Row(_text(record, "text"), labels, _text(record, "source"))


def _text(record: Any, field: str) -> str:
    """A field that is text, as the stream reads it: half an emoji (a lone surrogate) is U+FFFD."""
    value = record.get(field)
    return whole_text(value) if isinstance(value, str) else ""
