"""Opens a file of comments, finds out what it is, and yields what it holds, each entry with its line."""

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from consumer.files.dialect import is_table, sniff
from consumer.files.errors import FileError
from consumer.files.lines import Lines
from consumer.files.opening import OpenedBytes, open_bytes
from consumer.files.tables import rows_of

Kind = Literal["table", "json lines", "text"]

_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), "table"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json lines"),
    ".txt": "text",
}


class InputFile:
    """An open file. `kind` says what its entries are: rows of a table by column, or lines without their ends."""

    def __init__(self, path: str, opened: OpenedBytes, *, strict: bool) -> None:
        self._path = path
        self._opened = opened
        self._strict = strict
        head = codecs.getincrementaldecoder(opened.encoding)("replace").decode(opened.head)
        self.kind = _kind(path, head)
        self._dialect = sniff(head, path) if self.kind == "table" else None
        if self.kind == "json lines":
            _refuse_other_json(path, head)
        # Between JSON's tokens a carriage return is white space; it ends lines only where nothing else does.
        self._newline = "" if self._dialect else "\r" if "\r" in head and "\n" not in head else "\n"

    def note(self) -> str:
        """How the file is read, where that is not UTF-8 with commas between the columns; empty where it is."""
        encoding = "" if self._opened.encoding == "utf-8-sig" else self._opened.encoding.upper()
        dialect = self._dialect.note() if self._dialect else ""
        if self._dialect and _suffix(self._path) not in _SUFFIXES:
            dialect = f"a table with {dialect or 'commas between the columns'}"  # its content alone said so
        how = ", ".join(filter(None, (encoding, dialect)))
        return f"{self._path} is read as: {how}" if how else ""

    def position_bytes(self) -> int:
        """How much of the file was read, of what `size_bytes` says; 0 for a pipe."""
        try:
            return self._opened.source.tell()
        except (OSError, ValueError):
            return 0

    def entries(self) -> Iterator[tuple[int, dict[str, str] | str]]:
        """Yield every row of a table, or every line that is not blank, with its line. Raises FileError."""
        lines = Lines(self._opened, self._path, self._newline, strict=self._strict)
        entries = rows_of(lines, self._dialect) if self._dialect else _lines_of(lines)
        is_empty = True
        try:
            for entry in entries:
                is_empty = False
                yield entry
        except (OSError, EOFError, zlib.error) as error:
            raise FileError(f"{self._path} cannot be read beyond line {lines.number}: {_reason(error)}.") from None
        finally:
            if self._path != "-":
                self._opened.source.close()
        if is_empty:
            raise FileError(f"{self._path} holds no rows; give one comment a line.")


def open_input(path: str, on_note: Callable[[str], None], *, strict: bool = False) -> InputFile:
    """Open a file, or standard input for `-`, packed by gzip or not; `on_note` is told how it is read if not as usual.

    `strict` refuses bytes that are not UTF-8. Looks at the first block alone. Raises FileError when the file cannot be
    read, or is neither a table with a column named text, nor JSON lines, nor text.
    """
    try:
        opened = open_bytes(path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise FileError(f"{path} cannot be read: {_reason(error)}.") from None
    if not opened.head:
        raise FileError(f"{path} holds no rows; give one comment a line.")
    file = InputFile(path, opened, strict=strict)
    if note := file.note():
        on_note(note)
    return file


def size_bytes(path: str) -> int | None:
    """The size that `position_bytes` counts up to; None for what has none: a pipe, standard input, a missing file."""
    return Path(path).stat().st_size if path != "-" and Path(path).is_file() else None


def _kind(path: str, head: str) -> Kind:
    if (kind := _SUFFIXES.get(_suffix(path))) is not None:
        return kind
    if head.lstrip().startswith("{"):
        return "json lines"
    return "table" if is_table(head) else "text"


def _suffix(path: str) -> str:
    return Path(path.removesuffix(".gz")).suffix.lower()


def _refuse_other_json(path: str, head: str) -> None:
    first = next((line.strip() for line in head.splitlines() if line.strip()), "")
    if re.match(r"\[\s*(\{|$)", first):
        raise FileError(f"{path} is a JSON array; write one object a line: jq -c '.[]'.")
    if first == "{":
        raise FileError(f"{path} has JSON objects of several lines; write one object a line: jq -c .")


def _lines_of(lines: Lines) -> Iterator[tuple[int, str]]:
    for line in lines:
        content = line.rstrip("\r\n")
        if content.strip():
            yield lines.number, content


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
