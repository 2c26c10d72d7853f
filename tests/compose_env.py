"""How docker compose reads `.env`: the rules of compose-go's package dotenv (v2), written down anew.

Two things are left out, because they need a name that the file does not set: names without a value are taken from the
shell, and `$NAME` is replaced. `interpolates` says where the latter would happen.
"""

import re

_ESCAPE = re.compile(r'\\([abcfnrtv$"\\])')
_ESCAPED = dict(zip('abfnrtv"\\', '\a\b\f\n\r\t\v"\\', strict=True)) | {"$": "$$", "c": "\\c"}
_SPACE = "\t\v\f\r \x85\xa0"


class RefusedByComposeError(Exception):
    """Compose would not start."""


def compose_reads(content: str) -> dict[str, str]:
    """What a file sets, later lines over earlier ones."""
    rest = content.removeprefix("\ufeff")
    variables = {}
    while rest := rest.lstrip():
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        name, rest = _name(re.sub(r"^export\s+", "", rest))
        variables[name], rest = _value(rest.lstrip(_SPACE))
    return variables


def _name(rest: str) -> tuple[str, str]:
    found = re.match(r"([\w.\-\[\]\t\v\f\r \x85\xa0]*)([=:\n])", rest)
    if found is None or found[2] == "\n" or " " in found[1].strip():
        raise RefusedByComposeError
    return found[1].strip(), rest[found.end() :]


def _value(rest: str) -> tuple[str, str]:
    if rest[:1] not in ("'", '"'):
        line, _, rest = rest.partition("\n")
        return _interpolated(line.partition(" #")[0].rstrip()), rest
    quote, characters, escaped = rest[0], "", False
    for position, character in enumerate(rest[1:], 1):
        if character == quote and not escaped:
            value = characters if quote == "'" else _interpolated(_ESCAPE.sub(lambda m: _ESCAPED[m[1]], characters))
            return value, rest[position + 1 :]
        if character == "\\" and not escaped:
            escaped = True
            continue
        characters += "\\" * (escaped and character != quote) + character
        escaped = False
    raise RefusedByComposeError


def _interpolated(value: str) -> str:
    if re.search(r"\$(?!\$)[{_a-zA-Z]", value.replace("$$", "")):
        raise RefusedByComposeError  # not really: it is replaced by what the shell or an earlier line sets
    return value.replace("$$", "$")
