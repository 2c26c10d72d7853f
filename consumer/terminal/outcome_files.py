"""Writes the demo's outcomes to files: one tagged event a line, and the dead letters beside it."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from consumer.files import FileError


class OutcomeWriter:
    """Writes one tagged event a line, and the dead letters beside it."""

    def __init__(self, tagged: IO[bytes] | None, dead_letters: IO[bytes] | None) -> None:
        self._tagged = tagged
        self._dead_letters = dead_letters

    def tagged(self, value: bytes) -> None:
        """Write a tagged comment as it was published."""
        if self._tagged:
            self._tagged.write(value + b"\n")

    def dead_letter(self, headers: dict[str, Any], key: object, value: bytes | None) -> None:
        """Write a dead letter: its `dlq.` headers, its key and its value (in base64 where it is not UTF-8)."""
        if not self._dead_letters:
            return
        shown: dict[str, Any] = {"key": key.decode(errors="replace") if isinstance(key, bytes) else key}
        try:
            shown["value"] = value.decode() if value is not None else None
        except UnicodeDecodeError:
            shown["value_base64"] = base64.b64encode(value or b"").decode()
        self._dead_letters.write(json.dumps(headers | shown, ensure_ascii=False).encode() + b"\n")


def dead_letters_path(output: Path) -> Path:
    """Where the dead letters of an output file are listed: `tagged.jsonl` → `tagged.dead-letters.jsonl`."""
    return output.with_suffix(".dead-letters" + (output.suffix or ".jsonl"))


def refuse_to_overwrite(input_file: str, output: Path) -> None:
    """Raise `FileError` when writing the outcomes would destroy the input."""
    source = Path(input_file)
    for target in (output, dead_letters_path(output)):
        if input_file and target.exists() and source.exists() and target.samefile(source):
            raise FileError(f"{target} is the input itself and would be overwritten; give --output another name.")


@contextmanager
def outcome_writer(path: Path | None) -> Iterator[OutcomeWriter]:
    """Open the two files, or none for None. Raises `FileError` when they cannot be written."""
    if path is None:
        yield OutcomeWriter(None, None)
        return
    try:
        with path.open("wb") as tagged, dead_letters_path(path).open("wb") as dead_letters:
            yield OutcomeWriter(tagged, dead_letters)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}.") from None
