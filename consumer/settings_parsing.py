"""From the environment to `Settings`, and from a mistake to one readable sentence."""

import difflib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError

from consumer.env_file import EnvFileError, Variable, read_env_file
from consumer.errors import ReaderError

if TYPE_CHECKING:
    from consumer.settings import Settings

NEAR_MISS = 0.86
"""Similarity above which an unknown name is taken for a misspelling (`REDIS_ULR`), below which for somebody else's
(`REDIS_PORT`)."""

MAX_SECRET_BYTES = 65_536

COMPOSE_NAMES = frozenset(
    {
        *("APP_IMAGE", "BASE_IMAGE", "GRAFANA_IMAGE", "KAFKA_IMAGE", "PROMETHEUS_IMAGE", "REDIS_IMAGE"),
        *("CONSUMER_MEMORY", "TORCH_INDEX"),
    }
)
"""What docker-compose.yml takes from `.env` for itself, beside `COMPOSE_…`."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab


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


def labels_object(value: object) -> object:
    """`json_object` whose values are texts, or objects of texts."""
    parsed = json_object(value)
    for key, labels in parsed.items() if isinstance(parsed, dict) else ():
        texts = labels.values() if isinstance(labels, dict) else [labels]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f'has under "{key}" what is neither a label nor an object of labels; write '
                '{"LABEL_0": "negative"}, or {"my-model": {"LABEL_0": "negative"}}'
            )
    return parsed


def secret_names() -> list[str]:
    """The settings that hold a secret; each may also be the content of a file, which `NAME_FILE` names."""
    from consumer.settings import Settings

    return [name.upper() for name, field in Settings.model_fields.items() if field.annotation is SecretStr]


def known_names() -> list[str]:
    """Every name that the environment and `.env` may set."""
    from consumer.settings import Settings

    return [name.upper() for name in Settings.model_fields] + [f"{name}_FILE" for name in secret_names()]


def load_settings(**overrides: object) -> "Settings":
    """Read the settings of this process.

    `overrides` win over the environment, the environment over `.env`; a secret may come from a file that either names.
    Raises `SettingsError` when a value, a combination, a secret's file or a name in `.env` is wrong.
    """
    from consumer.settings import Settings

    given = _read_env_file(Path(".env")) | {name.upper(): value for name, value in os.environ.items()}
    _refuse_wrapped(given)
    values = {name: given[name.upper()] for name in Settings.model_fields if name.upper() in given}
    wanted = [name for name in secret_names() if name.lower() not in overrides]
    try:
        # Without its own look at .env, where pydantic-settings refuses every name that is not a field.
        return Settings(_env_file=None, **(values | _secrets_in_files(given, wanted) | overrides))  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_sentence(detail) for detail in error.errors(include_input=False, include_url=False))
        ) from None


def _read_env_file(path: Path) -> dict[str, str]:
    """What `.env` sets; nothing when there is none."""
    try:
        variables = read_env_file(path)
    except EnvFileError as error:
        raise SettingsError(str(error)) from None
    _refuse_unknown_names([variable for variable in variables if not _is_composes(variable.name)], known_names())
    return {variable.name: variable.value for variable in variables}


def _is_composes(name: str) -> bool:
    return name in COMPOSE_NAMES or name.startswith("COMPOSE_")


def _refuse_wrapped(given: Mapping[str, str]) -> None:
    """Quotes and line ends that `docker run --env-file`, a ConfigMap or `$(cat file)` leave around a value."""
    from consumer.settings import Settings

    texts = {name.upper() for name, field in Settings.model_fields.items() if field.annotation in (str, SecretStr)}
    secrets = secret_names()
    texts |= {f"{name}_FILE" for name in secrets}
    sentences = []
    for name in known_names():
        value = given.get(name, "")
        file = f", or give it in a file that {name}_FILE names" if name in secrets else ""
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            sentences.append(f"{name} has quotes around its value, which would be part of it; leave them out{file}.")
        elif name in texts and value != value.strip():
            sentences.append(f"{name} begins or ends with white space or a line break; remove it{file}.")
        elif name in texts and _CONTROL.search(value):
            sentences.append(f"{name} holds a line break or another control character; remove it.")
    if sentences:
        raise SettingsError("\n".join(sentences))


def _secrets_in_files(given: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Those secrets of `names` that lie in files."""
    secrets = {}
    for name in names:
        path = given.get(f"{name}_FILE")
        if not path:
            continue
        if given.get(name):
            raise SettingsError(f"{name} and {name}_FILE are both set; remove one of them.")
        secrets[name.lower()] = _secret_in_file(f"{name}_FILE names a file that", Path(path))
    return secrets


def _secret_in_file(what: str, path: Path) -> str:
    """The one line of a file. No message quotes a path, which may be the secret by mistake."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise SettingsError(f"{what} is a pipe or a device, which is read only once; write the secret into a file.")
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{what} cannot be read ({type(error).__name__}); give the path of a file that this process may read."
        ) from None
    if len(content) > MAX_SECRET_BYTES:
        raise SettingsError(f"{what} is larger than {MAX_SECRET_BYTES:,} bytes; give one that holds a secret alone.")
    try:
        secret = content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SettingsError(f"{what} is not UTF-8 text; write the secret as text.") from None
    if not secret:
        raise SettingsError(f"{what} is empty; write the secret into it.")
    if _CONTROL.search(secret):
        raise SettingsError(f"{what} holds several lines or a control character; write the secret as one line.")
    return secret


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
    return misspelled(os.environ, known_names())


def _refuse_unknown_names(variables: Iterable[Variable], known: list[str]) -> None:
    sentences = []
    for variable in variables:
        if variable.name in known:
            continue
        close = difflib.get_close_matches(variable.name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "remove it, or see `moderate settings` for the names."
        sentences.append(f".env, line {variable.line}, has {variable.name}, which is not a setting; {hint}")
    if sentences:
        raise SettingsError("\n".join(sentences))


def _sentence(detail: Mapping[str, object]) -> str:
    location = detail["loc"]
    message = str(detail["msg"]).removeprefix("Value error, ")
    path = [str(part) for part in location] if isinstance(location, tuple) else []
    if not path:
        return message
    name = path[0].upper() + "".join(f"[{part}]" for part in path[1:])
    return f"{name}: {message}."
