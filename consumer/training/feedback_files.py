"""The files of a feedback dataset: appended to or replaced, on the disk when a call returns, for their owner alone."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from consumer.training.corrections import Correction, Rejected
from consumer.training.errors import TrainingError

_OWNER_ONLY = 0o600
_LINE_START = b'{"topic":"'
_Kind = TypeVar("_Kind", Correction, Rejected)


def read_entries(path: Path, kind: type[_Kind]) -> tuple[list[_Kind], bool]:
    """The entries of a journal, and whether a crash cut its last line short: that is cut off, to be read from Kafka
    again.

    Raises TrainingError when the file is not as it was written, OSError when it cannot be read.
    """
    if not path.exists():
        return [], False
    entries = []
    torn = b""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                torn = line
                break
            try:
                entries.append(kind.model_validate_json(line))
            except ValidationError:
                raise damaged(path, len(entries) + 1) from None
    if torn:
        written = torn.rstrip(b"\0")  # some file systems leave these in the place of what a power cut kept out
        if not written.startswith(_LINE_START[: len(written)]):
            raise damaged(path, len(entries) + 1)
        os.truncate(path, path.stat().st_size - len(torn))
    return entries, bool(torn)


def append_entries(path: Path, entries: Sequence[Correction | Rejected]) -> None:
    """Append a line for each entry. Raises TrainingError when the disk does not take them."""
    if not entries:
        return
    try:
        with open(path, "ab", opener=_private) as file:
            file.write(lines_of(entries))
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None


def lines_of(entries: Sequence[Correction | Rejected]) -> bytes:
    """The lines of a journal that hold these entries."""
    return b"".join(entry.model_dump_json(exclude_none=True).encode() + b"\n" for entry in entries)


def replace(path: Path, content: bytes) -> None:
    """Write the file anew, whole or not at all. Raises TrainingError when the disk does not take it."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None


def touch(path: Path) -> None:
    """Make an empty file. Raises OSError."""
    path.touch(mode=_OWNER_ONLY)


def damaged(path: Path, line: int) -> TrainingError:
    """The error for a file that is not as it was written."""
    return TrainingError(
        f"{path}:{line} is not as `moderate feedback collect` wrote it; restore the file, or collect into a new "
        "directory"
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _sync_directory(directory: Path) -> None:
    """Make new names in it last: a file's own fsync does not."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(path: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{path} cannot be written: {error.strerror}; mend that and run the command again")
