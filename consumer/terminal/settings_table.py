"""Every setting, for `moderate settings`, the README and `.env.example`: generated from the one typed place."""

import json
from collections.abc import Iterator

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from consumer.settings import Settings
from consumer.settings_parsing import secret_names


def rows() -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of every setting, in order."""
    secrets = secret_names()
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        elif isinstance(default, bool | dict):
            default = json.dumps(default)
        elif isinstance(default, tuple):
            default = ", ".join(map(str, default))
        from_file = f" Or a file: `{name.upper()}_FILE`." if name.upper() in secrets else ""
        yield name.upper(), str(default), (field.description or "") + from_file


def as_markdown() -> str:
    """The table in README.md."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {f'`{default}`' if default not in ('', '{}') else ''} | {meaning} |"
        for name, default, meaning in rows()
    ]
    return "\n".join(lines) + "\n"


ENV_RULES = """\
# Copy to .env. This program and docker compose read that file alike: a line which they would read differently is
# refused, with its number. Put a value with $, # or a quote in it into single quotes, where nothing has a meaning.
# A value ends with its line; a comment stands on a line of its own, or behind a blank and #.

"""


def as_env() -> str:
    """The text of .env.example: how a line is written, and every setting with its default, commented out."""
    return ENV_RULES + "\n".join(f"# {meaning}\n#{name}={default}\n" for name, default, meaning in rows())


def as_table() -> Table:
    """For a terminal."""
    table = Table("setting", "default", "meaning")
    for name, default, meaning in rows():
        table.add_row(Text(name, "bold"), Text(default), Text(meaning))
    return table
