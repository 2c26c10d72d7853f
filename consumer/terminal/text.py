"""Other people's text on a terminal: nothing in it may move a cursor, change a colour or turn a line around."""

import json
from typing import Any


def printable(text: str) -> str:
    """The text on one line, with what could move a terminal's cursor or change its colours made visible."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "␣" if character.isspace() else "·" for character in text)


def json_line(value: Any) -> str:
    """The value as JSON on one line: letters of all scripts as they are, all that is not printable as `\\uXXXX`."""
    return printable_json(json.dumps(value, ensure_ascii=False))


def printable_json(text: str) -> str:
    """JSON that means the same, on one line, with nothing in it that a terminal obeys."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    # Raw line breaks and tabs stand only between the tokens of JSON, where a blank means the same.
    return " " if character in "\n\r\t" else json.dumps(character)[1:-1]
