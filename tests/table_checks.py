"""Tables that any program may write, and what must hold of a reader of them."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from consumer.files import FileError, open_input

Rows = list[dict[str, str]]
Reader = Callable[[Path], Rows]


def read(path: Path) -> Rows:
    """The rows as every command reads them."""
    return [row for _, row in open_input(str(path), lambda _: None).entries() if isinstance(row, dict)]


def as_bytes(lines: Iterable[list[str]], encoding: str = "utf-8", **dialect: Any) -> bytes:
    """What `csv.writer` makes of the lines."""
    file = io.StringIO(newline="")
    csv.writer(file, **dialect).writerows(lines)
    return file.getvalue().encode(encoding)


class Written(NamedTuple):
    """A table, and the rows that are in it."""

    content: bytes
    rows: Rows


_names = st.lists(st.text("abcdefgh_", min_size=1, max_size=4).filter("text".__ne__), unique=True, max_size=3)
_cells = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"',;|\t\r\n\\ =#\0"), max_size=12)
_ends = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def tables(draw: st.DrawFn) -> Written:
    """A table in one of the dialects and encodings that spreadsheets and scripts write."""
    header = draw(_names)
    header.insert(draw(st.integers(0, len(header))), "text")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    row = st.lists(_cells, min_size=len(header), max_size=len(header))
    rows = draw(st.lists(row, min_size=1, max_size=5))
    if quoting == csv.QUOTE_MINIMAL:  # Python 3.11 quotes no carriage return that is not in its own line ends
        rows = [[cell.replace("\r", "").replace("\n", "") for cell in row] for row in rows]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    dialect = {"delimiter": draw(st.sampled_from(",;\t|")), "lineterminator": draw(_ends), "quoting": quoting}
    content = as_bytes([header, *rows], encoding, **dialect)
    return Written(content, [dict(zip(header, row, strict=True)) for row in rows])


def check_comes_back(reader: Reader, path: Path, table: Written) -> None:
    """What was written is read, cell by cell."""
    path.write_bytes(table.content)
    assert reader(path) == table.rows


class Miswritten(NamedTuple):
    """A table with one quote too many somewhere behind its header, and how many rows it has."""

    content: bytes
    rows: int


@st.composite
def miswritten_tables(draw: st.DrawFn) -> Miswritten:
    """A table as a person or a careless program leaves it."""
    texts = draw(st.lists(st.text("abc ,", min_size=1, max_size=4), min_size=2, max_size=6))
    ends = draw(_ends)
    lines = [["id", "text"], *([str(number), text] for number, text in enumerate(texts))]
    content = as_bytes(lines, lineterminator=ends)
    place = draw(st.integers(len(f"id,text{ends}"), len(content)))
    return Miswritten(content[:place] + b'"' + content[place:], len(texts))


def check_loses_no_row(reader: Reader, path: Path, table: Miswritten) -> None:
    """All rows come out, or the file is refused."""
    path.write_bytes(table.content)
    try:
        count = len(reader(path))
    except FileError:
        return
    assert count == table.rows


def forgiving(path: Path) -> Rows:
    """A reader with a planted fault: it takes what follows an unclosed quote for one cell, as this project once did."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
