"""How far a feedback dataset has come: the last record that was read of every partition."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from consumer.training.corrections import Correction
from consumer.training.errors import TrainingError
from consumer.training.feedback_files import damaged

_DIGEST_BYTES = 16


class Last(BaseModel):
    """The last record read of a partition; its digest tells whether this is still the topic that is known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    offset: int
    digest: str | None = None


class Progress(BaseModel):
    """The content of progress.json: `offsets` by topic and partition."""

    model_config = ConfigDict(strict=True, extra="forbid")

    offsets: dict[str, dict[int, Last]] = {}
    rejected_dropped: int = 0

    def is_ahead(self, position: tuple[str, int, int]) -> bool:
        """Whether the record at this position was not read yet."""
        topic, partition, offset = position
        last = self.offsets.get(topic, {}).get(partition)
        return last is None or last.offset < offset

    def advance(self, position: tuple[str, int, int], digest: str | None) -> None:
        """The record at this position is the last one that was read."""
        topic, partition, offset = position
        self.offsets.setdefault(topic, {})[partition] = Last(offset=offset, digest=digest)

    def require_same(self, position: tuple[str, int, int], digest: str, directory: Path) -> None:
        """Raise TrainingError when the last record that was read is another one now."""
        topic, partition, offset = position
        last = self.offsets[topic][partition]
        if last.offset == offset and last.digest not in (None, digest):
            raise another_topic(directory, topic, partition, offset)


def digest_of(value: bytes | None, key: bytes) -> str:
    """Tells the record's value from another one."""
    return hashlib.blake2b(value or b"", key=key, digest_size=_DIGEST_BYTES).hexdigest()


def read_progress(path: Path, events: Iterable[Correction], *, is_torn: bool) -> Progress:
    """What the file says, unless corrections are missing that it counts on: then the last corrections that are there
    say it, as they do for a dataset of an earlier version. Reading again changes nothing.

    Raises TrainingError when the file is not as it was written.
    """
    progress = Progress()
    if path.exists():
        try:
            progress = Progress.model_validate_json(path.read_bytes())
        except ValidationError:
            raise damaged(path, 1) from None
        if not is_torn:
            return progress
        progress.offsets = {}
    for event in events:
        if progress.is_ahead(event.position):
            progress.advance(event.position, None)
    return progress


def another_topic(directory: Path, topic: str, partition: int, offset: int) -> TrainingError:
    """The error for a dataset that was collected from another topic of the same name."""
    return TrainingError(
        f"{directory} holds another record of {topic}, partition {partition}, offset {offset}: the topic was created "
        "anew or is on other brokers. Collect into a new directory"
    )
