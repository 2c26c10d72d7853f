"""The feedback dataset on disk: two journals, and what is derived from them.

* `events.jsonl`: every correction that stands with its source topic, partition and offset, without private fields;
* `rejected.jsonl`: the records that are no corrections with the reason, raw, so it may hold private fields; the latest
  64 MiB of them;
* `progress.json`: the last record read of every partition, and `tagged.txt`: what was found among the results;
* `moderator.key`: the secret key of all digests; leave it and `rejected.jsonl` out when the dataset is handed on;
* `feedback.jsonl`: the labelled rows to train on, and `report.json`: counts, shares, conflicts and the rows' version.

Only their owner can read the files.
"""

import base64
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from consumer.training.corrections import Correction, Rejected, add_opinion, opinions_of, standing
from consumer.training.errors import TrainingError
from consumer.training.feedback_files import append_entries, lines_of, read_entries, replace, touch
from consumer.training.feedback_progress import digest_of, read_progress
from consumer.training.feedback_record import MAX_MS_AHEAD, FeedbackRecord, entry_of, is_ahead
from consumer.training.feedback_report import dataset_of
from consumer.training.moderators import unseal
from consumer.training.tagged_texts import TaggedTexts, read_tagged_texts

EVENTS, REJECTED, PROGRESS, MODERATOR_KEY, ROWS, REPORT = (
    "events.jsonl",
    "rejected.jsonl",
    "progress.json",
    "moderator.key",
    "feedback.jsonl",
    "report.json",
)

MAX_REJECTED_BYTES = 64 * 1024 * 1024
SUPERSEDED_LINES = 1_000
"""So many lines of events.jsonl may be of corrections that stand no more, or as many as there are others."""

_KEY_BYTES = 32


class Added(NamedTuple):
    """What became of a batch; `known` counts records that were read before."""

    accepted: int
    rejected: list[Rejected]
    known: int


class Journal:
    """The dataset in one directory. Made by `open_journal`, which keeps others from writing to it meanwhile."""

    def __init__(self, directory: Path, now_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._now_ms = now_ms
        _require_sane_clock(directory / EVENTS, now_ms())
        events, is_torn = read_entries(directory / EVENTS, Correction)
        rejected, _ = read_entries(directory / REJECTED, Rejected)
        self._key = _moderator_key(directory / MODERATOR_KEY, is_new=not events and not rejected)
        self._progress = read_progress(directory / PROGRESS, events, is_torn=is_torn)
        # A crash between the journals and the progress leaves lines of records that will be read again.
        self._ahead = {e.position for e in (*events, *rejected) if self._progress.is_ahead(e.position)}
        self._rejected = len(rejected)
        self.tagged: TaggedTexts | None = read_tagged_texts(directory, self._key)
        sound = self._cured(events)
        self._lines = len(sound)
        self._opinions = opinions_of(sound)
        self._look_again_at = SUPERSEDED_LINES

    def last_offsets(self, topic: str) -> dict[int, int]:
        """The offset of the last record that was read of each partition."""
        return {partition: last.offset for partition, last in self._progress.offsets.get(topic, {}).items()}

    def add(self, records: Iterable[FeedbackRecord]) -> Added:
        """Append the records that the journals lack.

        On return they are on the disk: their offsets may be committed.

        Raises TrainingError when a record differs from the one known at its offset, or the disk does not take it.
        """
        progress = self._progress.model_copy(deep=True)
        fresh: list[Correction | Rejected] = []
        known = 0
        now_ms = self._now_ms()
        for record in records:
            position = record.topic, record.partition, record.offset
            digest = digest_of(record.value, self._key)
            if not progress.is_ahead(position):
                progress.require_same(position, digest, self._directory)
                known += 1
                continue
            progress.advance(position, digest)
            if position in self._ahead:
                known += 1
            else:
                fresh.append(entry_of(record, self._key, now_ms))
        accepted = [entry for entry in fresh if isinstance(entry, Correction)]
        rejected = [entry for entry in fresh if isinstance(entry, Rejected)]
        append_entries(self._directory / REJECTED, rejected)
        append_entries(self._directory / EVENTS, accepted)
        for correction in accepted:
            add_opinion(self._opinions, correction)
        self._lines += len(accepted)
        self._rejected += len(rejected)
        self._drop_superseded()
        progress.rejected_dropped += self._drop_oldest_rejected()
        if progress != self._progress:
            replace(self._directory / PROGRESS, progress.model_dump_json().encode())
            self._progress = progress
        return Added(len(accepted), rejected, known)

    def comparison(self) -> TaggedTexts:
        """A comparison of the corrections that stand with the stream's results; `keep` it when it is done."""
        comparison = self.tagged or TaggedTexts((), self._key)
        comparison.look_for(standing(self._opinions))
        return comparison

    def keep(self, comparison: TaggedTexts) -> None:
        """From now on only what was found trains. Raises TrainingError when the disk does not take it."""
        comparison.save(self._directory)
        self.tagged = comparison

    def write_dataset(self) -> dict[str, object]:
        """Write feedback.jsonl and report.json anew, each whole or not at all; returns the report."""
        rejected = self._rejected + self._progress.rejected_dropped
        rows, report = dataset_of(self._opinions, self.tagged, partial(unseal, key=self._key), rejected)
        replace(self._directory / ROWS, rows)
        replace(self._directory / REPORT, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
        return report

    def _drop_superseded(self) -> None:
        """Write events.jsonl anew without the corrections that stand no more, when they are most of it: millions of
        corrections of one comment cost as much as the last one."""
        if self._lines <= self._look_again_at:
            return
        kept = standing(self._opinions)
        if self._lines > 2 * len(kept):
            replace(self._directory / EVENTS, lines_of(kept))
            self._lines = len(kept)
        self._look_again_at = 2 * len(kept) + SUPERSEDED_LINES

    def _drop_oldest_rejected(self) -> int:
        """Bring rejected.jsonl down to half of what it may hold, when it holds more; returns how many went."""
        path = self._directory / REJECTED
        if not path.exists() or path.stat().st_size <= MAX_REJECTED_BYTES:
            return 0
        lines = path.read_bytes().splitlines(keepends=True)
        size, kept = 0, len(lines)
        while kept and size + len(lines[kept - 1]) <= MAX_REJECTED_BYTES // 2:
            kept -= 1
            size += len(lines[kept])
        replace(path, b"".join(lines[kept:]))
        self._rejected -= kept
        return kept

    def _cured(self, events: Sequence[Correction]) -> list[Correction]:
        """The corrections without those from a time that has not come, which an earlier version accepted: they would
        win over every other one until then. They go to rejected.jsonl."""
        now_ms = self._now_ms()
        sound = [event for event in events if not is_ahead(event.at, now_ms)]
        if len(sound) < len(events):
            rejected = [_out_of_the_future(event) for event in events if is_ahead(event.at, now_ms)]
            append_entries(self._directory / REJECTED, rejected)
            replace(self._directory / EVENTS, lines_of(sound))
            self._rejected += len(rejected)
        return sound


def this_moment_ms() -> int:
    """This machine's clock, in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


@contextmanager
def open_journal(directory: Path, now_ms: Callable[[], int] = this_moment_ms) -> Iterator[Journal]:
    """Open the dataset in `directory`, or begin one there, for this process alone; `now_ms` is the clock.

    Raises TrainingError when the directory holds something else, is damaged, in use, or cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise _unusable(directory, error) from None
    try:
        yield _locked_journal(directory, lock, now_ms)
    finally:
        os.close(lock)


def _locked_journal(directory: Path, lock: int, now_ms: Callable[[], int]) -> Journal:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TrainingError(f"{directory} is being written by another `moderate feedback collect`") from None
    try:
        if not (directory / EVENTS).exists():
            if any(directory.iterdir()):
                raise TrainingError(f"{directory} is not empty and no feedback dataset; name a new directory")
            touch(directory / EVENTS)
        return Journal(directory, now_ms)
    except OSError as error:
        raise _unusable(directory, error) from None


def _moderator_key(path: Path, *, is_new: bool) -> bytes:
    if is_new and not path.exists():
        replace(path, secrets.token_bytes(_KEY_BYTES))
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


def _require_sane_clock(path: Path, now_ms: int) -> None:
    """A clock that lost its time would take every correction for one out of the future."""
    written = path.stat()
    if written.st_size and written.st_mtime_ns // 1_000_000 > now_ms + MAX_MS_AHEAD:
        raise TrainingError(f"{path} was written later than this machine's clock says it is; set the clock")


def _out_of_the_future(event: Correction) -> Rejected:
    topic, partition, offset = event.position
    line = event.model_dump_json(exclude_none=True).encode()
    return Rejected(
        topic=topic,
        partition=partition,
        offset=offset,
        reason="at: it lies in the future, which an earlier version accepted; the value is what that version kept",
        value_base64=base64.b64encode(line).decode(),
    )


def _unusable(directory: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{directory} cannot be used: {error.strerror}; mend that or name another directory")
