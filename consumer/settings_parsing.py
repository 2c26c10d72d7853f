"""From the environment to `Settings`, and from a mistake to one readable sentence."""

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values
from pydantic import ValidationError

from consumer.errors import ReaderError

if TYPE_CHECKING:
    from consumer.settings import Settings

NEAR_MISS = 0.86
"""Similarity above which an unknown name is taken for a misspelling (`REDIS_ULR`), below which for somebody else's
(`REDIS_PORT`)."""


class SettingsError(ReaderError):
    """The settings cannot be used; the message names each setting and the remedy, never a value."""


def json_object(value: object) -> object:
    """Parse a JSON object written into an environment variable; anything but a string passes unchanged."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise ValueError(f'is not valid JSON ({error}); write an object such as {{"name": "value"}}') from None
    if not isinstance(parsed, dict):
        raise ValueError('must be a JSON object, such as {"name": "value"}')  # noqa: TRY004 - pydantic reports ValueError
    return parsed


def load_settings(**overrides: object) -> "Settings":
    """Read the settings of this process.

    `overrides` win over the environment, the environment over `.env`.
    Raises `SettingsError` when a value, a combination or a name in `.env` is wrong.
    """
    from consumer.settings import Settings

    known = [name.upper() for name in Settings.model_fields]
    env_file = Path(".env")
    if env_file.is_file():
        _refuse_unknown_names(_read_env_file(env_file), known)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_sentence(detail) for detail in error.errors(include_input=False, include_url=False))
        ) from None


def _read_env_file(path: Path) -> dict[str, str | None]:
    try:
        return dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}); save it as UTF-8 text.") from None


def misspelled(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """One sentence for each environment variable that looks like a misspelled setting."""
    names = list(known)
    sentences = []
    for name in sorted(environment.keys() - set(names)):
        close = difflib.get_close_matches(name.upper(), names, n=1, cutoff=NEAR_MISS)
        if close and close[0] != name.upper():
            sentences.append(f"The environment has {name}, which is not a setting; did you mean {close[0]}?")
    return sentences


def misspelled_in_environment() -> list[str]:
    """`misspelled` for this process's environment."""
    from consumer.settings import Settings

    return misspelled(os.environ, [name.upper() for name in Settings.model_fields])


def _refuse_unknown_names(values: Mapping[str, str | None], known: list[str]) -> None:
    unknown = [name for name in values if name.upper() not in known]
    if not unknown:
        return
    sentences = []
    for name in unknown:
        close = difflib.get_close_matches(name.upper(), known, n=1)
        hint = f"did you mean {close[0]}?" if close else "remove it, or see `moderate settings` for the names."
        sentences.append(f".env has {name}, which is not a setting; {hint}")
    raise SettingsError("\n".join(sentences))


def _sentence(detail: Mapping[str, object]) -> str:
    location = detail["loc"]
    message = str(detail["msg"]).removeprefix("Value error, ")
    path = [str(part) for part in location] if isinstance(location, tuple) else []
    if not path:
        return message
    name = path[0].upper() + "".join(f"[{part}]" for part in path[1:])
    return f"{name}: {message}."
