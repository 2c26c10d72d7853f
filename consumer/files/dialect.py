"""How a table is written: what stands between its columns, how a quote in a cell is escaped, where its header is.

The header decides, not the frequency of characters in the rows: one column must be named `text`, and only the right
separator shows it. `csv.Sniffer` and clevercsv count characters, and comments are full of commas.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from consumer.files.errors import FileError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_NO_SEPARATOR = "\ud800"  # in a table of one column a comma belongs to the text; no file that is decoded holds this
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\n|\r)', re.IGNORECASE)
_NAMES_SHOWN, _NAME_SHOWN_CHARACTERS = 20, 30


class Dialect(NamedTuple):
    """How one table is written; `names` are the columns, "" where one has no name; `preamble` are lines before them."""

    separator: str
    escaped: bool
    spaced: bool
    names: list[str]
    preamble: int

    def reader_options(self) -> dict[str, Any]:
        """What `csv.reader` needs: strict, or an unclosed quote would swallow the rows that follow."""
        return _options(self.separator, escaped=self.escaped, spaced=self.spaced)

    def note(self) -> str:
        """How it is read where that is not the usual way, for a person; empty where it is."""
        notes = []
        if self.separator in SEPARATORS and self.separator != ",":
            notes.append(f"{SEPARATORS[self.separator]} between the columns")
        if self.escaped:
            notes.append("backslashes before quotes")
        if "" in self.names:
            notes.append("columns without a name left out")
        return ", ".join(notes)


def sniff(head: str, path: str) -> Dialect:
    """Find out how the table is written that begins with `head`. Raises FileError when no column is named text, or
    two columns have one name."""
    excel = _EXCEL_SEPARATOR.match(head)
    body = head[excel.end() :] if excel else head
    separators = [excel[1]] if excel else list(SEPARATORS)
    headers = {separator: _header(body, separator) for separator in separators}
    fitting = [separator for separator, names in headers.items() if "text" in _stripped(names)]
    if not fitting:
        raise FileError(_no_text_column(path, max(headers.values(), key=len)))
    separator = max(fitting, key=lambda one: len(headers[one]))
    raw = headers[separator]
    names = _stripped(raw)
    _refuse_doubled(names, path)
    spaced = len(raw) > 1 and all(name.startswith(" ") for name in raw[1:])
    if len(names) == 1 and not excel:
        separator = _NO_SEPARATOR
    escaped = "\\" in body and _fit(body, separator, len(names), spaced, escaped=True) > _fit(
        body, separator, len(names), spaced, escaped=False
    )
    return Dialect(separator, escaped, spaced, names, 1 if excel else 0)


def is_table(head: str) -> bool:
    """Whether the first line is a header with a column named text, among others."""
    return any(
        len(names) > 1 and "text" in names
        for names in (_stripped(_header(head, separator)) for separator in SEPARATORS)
    )


def _header(body: str, separator: str) -> list[str]:
    try:
        return next((row for row in csv.reader(_lines(body), delimiter=separator) if row), [])
    except csv.Error:
        return []


def _stripped(names: Sequence[str]) -> list[str]:
    return [name.strip().removeprefix('"').removesuffix('"') for name in names]


def _lines(text: str) -> Iterator[str]:
    return iter(io.StringIO(text, newline=""))


def _options(separator: str, *, escaped: bool, spaced: bool) -> dict[str, Any]:
    escape = {"escapechar": "\\"} if escaped else {}
    return {"delimiter": separator, "strict": True, "skipinitialspace": spaced, **escape}


def _fit(body: str, separator: str, columns: int, spaced: bool, *, escaped: bool) -> int:
    """How well the rows in `body` fit: 2 where each has all columns, 1 where some have fewer, 0 where they break."""
    reader = csv.reader(
        _lines(body[: body.rfind("\n") + 1] or body), **_options(separator, escaped=escaped, spaced=spaced)
    )
    fit = 2
    try:
        for row in filter(None, reader):
            if len(row) > columns:
                return 0
            if len(row) < columns:
                fit = 1
    except csv.Error as error:
        return fit if "unexpected end" in str(error) else 0  # the head ends inside a row
    return fit


def _no_text_column(path: str, names: Sequence[str]) -> str:
    shown = ", ".join(name.strip()[:_NAME_SHOWN_CHARACTERS] or "(no name)" for name in names[:_NAMES_SHOWN])
    near = next((name.strip() for name in names if name.strip().lower() in ("text", "comment", "body", "message")), "")
    remedy = f"name the column {near} text" if near else "name the column with the comments text, in the first line"
    return f"{path}:1 has no column named text (it has: {shown or 'nothing'}); {remedy}."


def _refuse_doubled(names: Sequence[str], path: str) -> None:
    for name in names:
        if name and names.count(name) > 1:
            raise FileError(f"{path}:1 has two columns named {name[:_NAME_SHOWN_CHARACTERS]}; rename one of them.")
