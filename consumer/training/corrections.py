"""What moderators' corrections amount to: pure, and free of the model, so that collecting them starts at once."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas import CorrectedLabels, Feedback
from schemas.timestamp import Timestamp

_DIGEST_BYTES = 8
_MAX_REASON_CHARACTERS = 300


class _Entry(BaseModel):
    """Where a record stood; `extra` is forbidden so that a journal holds nothing that nobody looks at."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    topic: str
    partition: int
    offset: int

    @property
    def position(self) -> tuple[str, int, int]:
        """Topic, partition and offset: the identity of a record."""
        return self.topic, self.partition, self.offset


class Correction(_Entry):
    """A record that keeps the contract, without its private fields.

    `moderator` is a keyed digest of the moderator's id together with the comment's: it tells two moderators of one
    comment apart, which is all that conflicts need, and cannot be followed from one comment to the next.
    """

    comment_id: str
    text: str
    labels: CorrectedLabels
    at: Timestamp
    moderator: str


class Rejected(_Entry):
    """A record that breaks the contract: why, and its value in base64 (None for a tombstone)."""

    reason: str
    value_base64: str | None = None


def entry_of(topic: str, partition: int, offset: int, value: bytes | None, key: bytes) -> Correction | Rejected:
    """Check a record of the feedback topic against its contract; `key` is the key of the moderators' digests."""
    position: dict[str, Any] = {"topic": topic, "partition": partition, "offset": offset}
    if value is None:
        return Rejected(**position, reason="the record has no value (a tombstone)")
    try:
        feedback = Feedback.model_validate_json(value)
    except ValidationError as error:
        return Rejected(**position, reason=_reason(error), value_base64=base64.b64encode(value).decode())
    identity = json.dumps([feedback.comment_id, feedback.moderator_id]).encode()
    return Correction(
        **position,
        comment_id=feedback.comment_id,
        text=feedback.text,
        labels=feedback.labels,
        at=feedback.at,
        moderator=hashlib.blake2b(identity, key=key, digest_size=_DIGEST_BYTES).hexdigest(),
    )


def labels_by_text(corrections: Iterable[Correction]) -> dict[str, dict[str, str]]:
    """Fold the corrections, in whatever order they come, into the labels of each text, sorted by text.

    For every comment and tag group the last correction counts: by `at`, then by offset. A label belongs to the text
    it was given for, so an edited comment leaves two texts; equal texts of several comments are one, the last wins.
    """
    winners: dict[tuple[str, str], Correction] = {}
    for correction in sorted(corrections, key=_order):
        for group in _labels(correction):
            winners[correction.comment_id, group] = correction
    texts: dict[str, dict[str, str]] = {}
    for (_, group), correction in sorted(winners.items(), key=lambda winner: _order(winner[1])):
        texts.setdefault(correction.text, {})[group] = _labels(correction)[group]
    return {text: dict(sorted(texts[text].items())) for text in sorted(texts)}


def conflicting_comments(corrections: Iterable[Correction]) -> list[str]:
    """The ids of the comments for whose text two moderators stand by different labels of one tag group, sorted.

    A moderator stands by the last label they gave: who changes their mind contradicts nobody.
    """
    opinions: dict[tuple[str, str, str], dict[str, str]] = {}
    for correction in sorted(corrections, key=_order):
        for group, label in _labels(correction).items():
            of_moderators = opinions.setdefault((correction.comment_id, correction.text, group), {})
            of_moderators[correction.moderator] = label
    return sorted({comment for (comment, _, _), labels in opinions.items() if len(set(labels.values())) > 1})


def label_counts(texts: dict[str, dict[str, str]]) -> dict[str, dict[str, int]]:
    """How many texts carry each label, by tag group."""
    counts: dict[str, Counter[str]] = {}
    for labels in texts.values():
        for group, label in labels.items():
            counts.setdefault(group, Counter())[label] += 1
    return {group: dict(sorted(counts[group].items())) for group in sorted(counts)}


def _labels(correction: Correction) -> dict[str, str]:
    return correction.labels.model_dump(exclude_none=True)


def _order(correction: Correction) -> tuple[datetime, int, str, int]:
    """Topic and partition only make the order total, so that the result does not hang on who came first."""
    return correction.at, correction.offset, correction.topic, correction.partition


def _reason(error: ValidationError) -> str:
    """What breaks the contract, field by field, without the value that was given."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    sentences = [f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg']}" for problem in problems]
    return "; ".join(sentences)[:_MAX_REASON_CHARACTERS]
