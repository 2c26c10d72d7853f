"""Comments from a person's file: JSONL in the input contract, CSV with a `text` column, or plain text, one comment a
line."""

import csv
import gzip
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic_core import from_json

from consumer.errors import ReaderError

OPTIONAL_COLUMNS = ("author_id", "thread_id", "language", "created_at")
BOM = b"\xef\xbb\xbf"
JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}


class InputError(ReaderError):
    """The input file cannot be used; the message names it and says what to do."""


class InputRecord(NamedTuple):
    """One record for the input topic; `key` is the comment's id where the value has one."""

    key: bytes | None
    value: bytes | None
    position_bytes: int


def read_records(path: str) -> Iterator[InputRecord]:
    """The records of a file, or of standard input for `-`, in order; `.gz` is unpacked.

    What a line holds is not judged here: a broken one is a broken record, which the consumer turns into a dead letter.
    Raises `InputError` when the file cannot be read or is a CSV without a `text` column.
    """
    try:
        with _open(path) as stream:
            first = stream.readline().removeprefix(BOM)
            if not first:
                raise InputError(f"{path} is empty; give one comment a line.")
            lines = itertools.chain([first], stream)
            yield from _records(lines, _format(path, first), path)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from None


def size_bytes(path: str) -> int | None:
    """The size that `position_bytes` counts up to; None where it cannot be known beforehand."""
    if path == "-" or path.endswith(".gz"):
        return None
    try:
        return Path(path).stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.") from None


def _open(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    if path.endswith(".gz"):
        return BufferedReader(gzip.open(path))
    return Path(path).open("rb")


def _format(path: str, first: bytes) -> str:
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix in JSON_SUFFIXES:
        return "jsonl"
    if suffix == ".csv":
        return "csv"
    return "jsonl" if suffix != ".txt" and first.lstrip().startswith(b"{") else "text"


def _records(lines: Iterable[bytes], file_format: str, path: str) -> Iterator[InputRecord]:
    if file_format == "csv":
        yield from _csv(lines, path)
        return
    position = 0
    for number, line in enumerate(lines, 1):
        position += len(line)
        content = line.rstrip(b"\r\n")
        if not content.strip():
            continue
        if file_format == "jsonl":
            yield InputRecord(_key(content), content, position)
        else:
            yield _made(f"line-{number}", {"text": content.decode("utf-8", "surrogateescape")}, position)


def _csv(lines: Iterable[bytes], path: str) -> Iterator[InputRecord]:
    csv.field_size_limit(sys.maxsize)
    position = 0

    def decoded() -> Iterator[str]:
        nonlocal position
        for line in lines:
            position += len(line)
            yield line.decode("utf-8", "surrogateescape")

    reader = csv.DictReader(decoded())
    if "text" not in (reader.fieldnames or []):
        raise InputError(
            f"{path} has no column named text (it has: {', '.join(reader.fieldnames or ['nothing'])}); "
            "save it as UTF-8 with commas between the columns, and name the column with the comments text."
        )
    try:
        for number, row in enumerate(reader, 1):
            # Cells beyond the header come under None, missing ones as None: the first are kept, the second left out.
            fields = {
                name or "more": cell
                for name, cell in row.items()
                if cell is not None and (cell or name not in OPTIONAL_COLUMNS)
            }
            yield _made(str(fields.pop("id", "") or f"row-{number}"), fields, position)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; check the quotes there.") from None


def _made(comment_id: str, fields: Mapping[str, object], position: int) -> InputRecord:
    """Bytes that are not UTF-8 stay what they are, so that the consumer sees and reports them."""
    value = json.dumps({"id": comment_id, **fields}, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return InputRecord(comment_id.encode("utf-8", "surrogateescape"), value, position)


def _key(value: bytes) -> bytes | None:
    try:
        parsed = from_json(value)
    except ValueError:
        return None
    comment_id = parsed.get("id") if isinstance(parsed, dict) else None
    return comment_id.encode() if isinstance(comment_id, str) else None
