"""Reads `.env` so that it means the same to this program and to docker compose, whichever version reads it.

Compose (Go) and python-dotenv disagree on `$`, on backslashes, on `#` without a blank and on what is no line at all;
python-dotenv also skips what it cannot read with a log line, and interpolates inside single quotes. So this is neither:
a line that both read alike is read, any other is refused with its number and the remedy.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from consumer.errors import ReaderError

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)")
_SINGLE_QUOTED = re.compile(r"'(?P<value>[^']*)'[ \t]*(?:#.*)?")
_DOUBLE_QUOTED = re.compile(r'"(?P<value>(?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")

_QUOTE_IT = "write the value in single quotes"
_FORM = "write NAME=value, NAME='value' or a comment behind #"


class EnvFileError(ReaderError):
    """Lines of `.env` cannot be read; the message has a sentence for each, with its number and never with a value."""


class Variable(NamedTuple):
    """One line that sets something."""

    name: str
    value: str
    line: int


class _LineError(Exception):
    """Why a line is refused, and what to write instead."""


def read_env_file(path: Path) -> list[Variable]:
    """Return what the file sets, in order: of a name that comes twice the last counts. Nothing when there is no file.

    Raises EnvFileError for lines that docker compose may read otherwise, or that cannot be read.
    """
    if not path.exists() or path.is_dir():  # some keep a virtual environment of that name
        return []
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{path} cannot be read ({type(error).__name__}); save it as UTF-8 text.") from None
    variables, refused = [], []
    for number, line in enumerate(content.split("\n"), start=1):
        try:
            variables += [Variable(*set_, number) for set_ in _variable(line.removesuffix("\r"))]
        except _LineError as error:
            refused.append(f"{path}, line {number}, {error}.")
    if refused:
        raise EnvFileError("\n".join(refused))
    return variables


def _variable(line: str) -> Iterator[tuple[str, str]]:
    if _CONTROL.search(line):
        raise _LineError("holds a control character; remove it")
    if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
        return
    found = _LINE.fullmatch(line)
    if found is None:
        raise _LineError(f"cannot be read: {_FORM}, with a name of letters, digits and _")
    name, value = found["name"], found["value"]
    if name != name.upper():
        raise _LineError(f"has the name {name}, which docker compose takes for another; write {name.upper()}")
    if value.startswith("'"):
        yield name, _single_quoted(value)
    elif value.startswith('"'):
        yield name, _double_quoted(value)
    else:
        yield name, _unquoted(value)


def _single_quoted(value: str) -> str:
    found = _SINGLE_QUOTED.fullmatch(value)
    if found is None:
        raise _LineError("has a single quote that does not close at its end; end it on the same line, without ' inside")
    if "\\\\" in found["value"] or found["value"].endswith("\\"):
        raise _LineError(
            "has two backslashes, or one before the closing quote, which docker compose reads otherwise; set the "
            "variable in the environment instead"
        )
    return found["value"]


def _double_quoted(value: str) -> str:
    found = _DOUBLE_QUOTED.fullmatch(value)
    if found is None:
        raise _LineError("has a double quote that does not close at its end; end it on the same line")
    inside = found["value"].replace('\\"', '"')
    if "$" in inside or "\\" in inside:
        raise _LineError(f"has $ or a backslash in double quotes, which docker compose interprets; {_QUOTE_IT}")
    return inside


def _unquoted(value: str) -> str:
    value = value.split(" #")[0].rstrip(" \t")
    if "$" in value:
        raise _LineError(f"has $, which docker compose interprets; {_QUOTE_IT}")
    if "#" in value:
        raise _LineError(f"has #, behind which docker compose may see a comment; {_QUOTE_IT}")
    if any(character.isspace() and character not in " \t" for character in value):
        raise _LineError(f"has white space that is neither blank nor tab; {_QUOTE_IT}, or remove it")
    return value
