"""The rows of a table, each with the line where it began. A row is never lost: it comes out, or an error names it.

The standard library's `csv` in its strict mode reads them a row at a time and raises for a quote that never closes;
what is added here is the line where that quote began.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from consumer.files import lines
from consumer.files.dialect import Dialect
from consumer.files.errors import FileError
from consumer.files.lines import Lines

_MEND_QUOTES = 'write a quote inside a cell twice ("") and close the cell'


def rows_of(source: Lines, dialect: Dialect) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line where each row begins, and its cells by column; columns without a name are left out.

    Cells that are missing at the end of a row are absent. Raises FileError for a row with more cells than the header
    has names, for one that ends before its text, and for quotes that do not close.
    """
    csv.field_size_limit(sys.maxsize)
    for _ in range(dialect.preamble):
        next(source, "")
    table = _Table(source, dialect)
    next(table, None)  # the header
    for line, cells in table:
        yield line, _by_name(f"{source.path}:{line}", cells, dialect.names)


def _by_name(place: str, cells: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    if any(cells[len(names) :]):
        raise FileError(
            f"{place} has {len(cells)} cells where the header has {len(names)}; put quotes around a cell that holds "
            "what separates the columns."
        )
    fields = {name: cell for name, cell in zip(names, cells, strict=False) if name}
    if "text" not in fields:
        raise FileError(
            f"{place} has {len(cells)} of the {len(names)} cells that the header names, and none for the text."
        )
    return fields


class _Table:
    """Yields the rows that are not blank, each with the line where it begins."""

    def __init__(self, source: Lines, dialect: Dialect) -> None:
        self._source = source
        self._dialect = dialect
        self._row: list[str] = []
        self._reader = csv.reader(self._feed(), **dialect.reader_options())

    def __iter__(self) -> "_Table":
        return self

    def __next__(self) -> tuple[int, list[str]]:
        while True:
            self._row.clear()
            begins = self._source.number + 1
            try:
                cells = next(self._reader)
            except csv.Error as error:
                raise self._unreadable(begins, error) from None
            if len(self._row) > 1 and any('"' in cell for cell in cells):
                self._refuse_stray_quote(begins)
            if cells:
                return begins, cells

    def _feed(self) -> Iterator[str]:
        size = 0
        for line in self._source:
            size = len(line) + (size if self._row else 0)
            self._row.append(line)
            if size > lines.MAX_ROW_CHARACTERS:
                raise csv.Error(f"longer than {lines.MAX_ROW_CHARACTERS:,} characters")
            yield line

    def _refuse_stray_quote(self, begins: int) -> None:
        """In a row of several lines it may be the other half of a pair: what lies between would be rows, not a cell."""
        quotes = quotes_of(self._row, begins, self._dialect)
        if quotes.stray is not None:
            raise FileError(
                f"{self._source.path}:{quotes.stray} has a quote in the middle of a cell without quotes, and before it "
                f"a quoted cell of several lines; {_MEND_QUOTES}."
            )

    def _unreadable(self, begins: int, error: csv.Error) -> FileError:
        path, now = self._source.path, self._source.number
        why = f", {error}" if "longer" in str(error) else ""
        quote = quotes_of(self._row, begins, self._dialect).last
        if quote is None:
            return FileError(f"{path}:{begins} cannot be read: {error}; check the quotes there.")
        if "expected after" in str(error):
            return FileError(
                f"{path}:{quote} has a quote that begins a cell and closes in the middle of one, in line {now}; "
                f"{_MEND_QUOTES}."
            )
        return FileError(f"{path}:{quote} has a quote that does not close, up to line {now}{why}; {_MEND_QUOTES}.")


class Quotes(NamedTuple):
    """Lines of quotes in a row: the last one that begins a cell, and the first in the middle of a cell without quotes;
    None where there is none."""

    last: int | None
    stray: int | None


def quotes_of(row: Sequence[str], begins: int, dialect: Dialect) -> Quotes:
    """Find the quotes of `row`, whose first line is `begins`.

    `csv` knows only the line where it stopped, which for an unclosed quote is the last one of the file.
    """
    last = stray = None
    inside, fresh = False, True
    for number, line in enumerate(row, begins):
        position = 0
        while position < len(line):
            character = line[position]
            if dialect.escaped and character == "\\":
                position, fresh = position + 2, False
                continue
            if inside and line.startswith('""', position):
                position += 2
                continue
            if character == '"' and (inside or fresh):
                inside = not inside
                last = number if inside else last
            elif character == '"' and stray is None:
                stray = number
            is_skipped = dialect.spaced and fresh and character == " "
            fresh = not inside and (is_skipped or character in (dialect.separator, "\r", "\n"))
            position += 1
    return Quotes(last, stray)
