"""The feedback dataset on disk: two journals that are only appended to, and what is derived from them.

* `events.jsonl`: every accepted correction with its source topic, partition and offset, without private fields;
* `rejected.jsonl`: every record that breaks the contract with the reason, raw, so it may hold private fields;
* `moderator.key`: the secret key of the moderators' digests; leave these two out when the dataset is handed on;
* `feedback.jsonl`: the labelled rows to train on, and `report.json`: counts, conflicts and the rows' version.

Only their owner can read the files.
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from consumer.training.corrections import (
    Correction,
    Rejected,
    conflicting_comments,
    entry_of,
    label_counts,
    labels_by_text,
)
from consumer.training.errors import TrainingError

EVENTS, REJECTED, MODERATOR_KEY, ROWS, REPORT = (
    "events.jsonl",
    "rejected.jsonl",
    "moderator.key",
    "feedback.jsonl",
    "report.json",
)
SOURCE = "feedback"
"""The `source` of every row."""

_KEY_BYTES = 32
_OWNER_ONLY = 0o600
_LINE_START = b'{"topic":"'
_Kind = TypeVar("_Kind", Correction, Rejected)


class Added(NamedTuple):
    """What became of a batch; `known` counts records that the journals held already."""

    accepted: int
    rejected: list[Rejected]
    known: int


class Journal:
    """The dataset in one directory. Made by `open_journal`, which keeps others from writing to it meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        events = _read(directory / EVENTS, Correction)
        rejected = _read(directory / REJECTED, Rejected)
        self._entries: dict[tuple[str, int, int], Correction | Rejected] = {e.position: e for e in events}
        self._entries |= {e.position: e for e in rejected}
        self._key = _moderator_key(directory / MODERATOR_KEY, is_new=not self._entries)

    def last_offsets(self, topic: str) -> dict[int, int]:
        """The offset of the last correction of each partition; events.jsonl is written last, so all before are here."""
        last: dict[int, int] = {}
        for (of_topic, partition, offset), entry in self._entries.items():
            if of_topic == topic and isinstance(entry, Correction):
                last[partition] = max(offset, last.get(partition, 0))
        return last

    def add(self, records: Iterable[tuple[str, int, int, bytes | None]]) -> Added:
        """Append the records (topic, partition, offset, value) that the journals lack.

        On return they are on the disk: their offsets may be committed.

        Raises TrainingError when a record differs from the one known at its offset, or the disk does not take it.
        """
        fresh: dict[tuple[str, int, int], Correction | Rejected] = {}
        known = 0
        for topic, partition, offset, value in records:
            entry = entry_of(topic, partition, offset, value, self._key)
            earlier = self._entries.get(entry.position) or fresh.get(entry.position)
            if earlier is None:
                fresh[entry.position] = entry
            elif _is_same(earlier, entry):
                known += 1
            else:
                raise TrainingError(
                    f"{self._directory} holds another record of {topic}, partition {partition}, offset "
                    f"{offset}: the topic was created anew or is on other brokers. Collect into a new directory"
                )
        accepted = [entry for entry in fresh.values() if isinstance(entry, Correction)]
        rejected = [entry for entry in fresh.values() if isinstance(entry, Rejected)]
        _append(self._directory / REJECTED, rejected)
        _append(self._directory / EVENTS, accepted)
        self._entries |= fresh
        return Added(len(accepted), rejected, known)

    def write_dataset(self) -> dict[str, object]:
        """Write feedback.jsonl and report.json anew, each whole or not at all; returns the report."""
        corrections = [entry for entry in self._entries.values() if isinstance(entry, Correction)]
        texts = labels_by_text(corrections)
        lines = [
            json.dumps({"text": text, **labels, "source": SOURCE}, ensure_ascii=False) for text, labels in texts.items()
        ]
        rows = "".join(f"{line}\n" for line in lines).encode()
        conflicts = conflicting_comments(corrections)
        report: dict[str, object] = {
            "version": version_of(rows),
            "rows": len(texts),
            "labels": label_counts(texts),
            "corrections": len(corrections),
            "comments": len({correction.comment_id for correction in corrections}),
            "rejected": len(self._entries) - len(corrections),
            "conflicts": len(conflicts),
            "conflicting_comment_ids": conflicts,
        }
        _replace(self._directory / ROWS, rows)
        _replace(self._directory / REPORT, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
        return report


@contextmanager
def open_journal(directory: Path) -> Iterator[Journal]:
    """Open the dataset in `directory`, or begin one there, for this process alone.

    Raises TrainingError when the directory holds something else, is damaged, in use, or cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise _unusable(directory, error) from None
    try:
        yield _locked_journal(directory, lock)
    finally:
        os.close(lock)


def _locked_journal(directory: Path, lock: int) -> Journal:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TrainingError(f"{directory} is being written by another `moderate feedback collect`") from None
    try:
        if not (directory / EVENTS).exists():
            if any(directory.iterdir()):
                raise TrainingError(f"{directory} is not empty and no feedback dataset; name a new directory")
            (directory / EVENTS).touch(mode=_OWNER_ONLY)
        return Journal(directory)
    except OSError as error:
        raise _unusable(directory, error) from None


def version_of(rows: bytes) -> str:
    """The version of a dataset: the SHA-256 of its feedback.jsonl, so that equal rows have equal versions."""
    return hashlib.sha256(rows).hexdigest()


def _read(path: Path, kind: type[_Kind]) -> list[_Kind]:
    """The entries of a journal; a last line that a crash cut short is cut off: its offset was not committed."""
    if not path.exists():
        return []
    *lines, torn = path.read_bytes().split(b"\n")
    entries = []
    try:
        for line in lines:
            entries.append(kind.model_validate_json(line))
    except ValidationError:
        raise _damaged(path, len(entries) + 1) from None
    if torn:
        if not torn.startswith(_LINE_START[: len(torn)]):
            raise _damaged(path, len(entries) + 1)
        os.truncate(path, path.stat().st_size - len(torn))
    return entries


def _moderator_key(path: Path, *, is_new: bool) -> bytes:
    if is_new and not path.exists():
        _replace(path, secrets.token_bytes(_KEY_BYTES))
    try:
        key = path.read_bytes()
    except OSError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise TrainingError(
            f"{path} is missing or damaged, and without it one moderator would look like two; restore it, or collect "
            "into a new directory"
        )
    return key


def _is_same(earlier: Correction | Rejected, entry: Correction | Rejected) -> bool:
    if isinstance(earlier, Rejected) and isinstance(entry, Rejected):
        return earlier.value_base64 == entry.value_base64  # the reason's wording changes with the library's version
    return earlier == entry


def _append(path: Path, entries: Sequence[Correction | Rejected]) -> None:
    if not entries:
        return
    try:
        with open(path, "ab", opener=_private) as file:
            file.write(b"".join(entry.model_dump_json(exclude_none=True).encode() + b"\n" for entry in entries))
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None


def _replace(path: Path, content: bytes) -> None:
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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _sync_directory(directory: Path) -> None:
    """Make new names in it last: a file's own fsync does not."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, line: int) -> TrainingError:
    return TrainingError(
        f"{path}:{line} is not as `moderate feedback collect` wrote it; restore the file, or collect into a new "
        "directory"
    )


def _unusable(directory: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{directory} cannot be used: {error.strerror}; mend that or name another directory")


def _not_written(path: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{path} cannot be written: {error.strerror}; mend that and run the command again")
