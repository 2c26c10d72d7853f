"""What is derived from the corrections that stand: the rows to train on, and the report about them."""

import hashlib
import json
from collections.abc import Callable, Sequence

from consumer.training.corrections import (
    Correction,
    Opinions,
    conflicting_comments,
    label_counts,
    labels_by_text,
    opinions_of,
    standing,
)
from consumer.training.moderators import shares, warnings
from consumer.training.tagged_texts import TaggedTexts

SOURCE = "feedback"
"""The `source` of every row."""
MAX_MODERATORS_SHOWN = 1_000


def version_of(rows: bytes) -> str:
    """The version of a dataset: the SHA-256 of its feedback.jsonl, so that equal rows have equal versions."""
    return hashlib.sha256(rows).hexdigest()


def dataset_of(
    opinions: Opinions, tagged: TaggedTexts | None, pseudonym: Callable[[Correction], str | None], rejected: int
) -> tuple[bytes, dict[str, object]]:
    """The content of feedback.jsonl and the report.

    Where the corrections were compared with the stream's results, those of texts that never came out of it are left
    out of everything but their own count.
    """
    corrections = standing(opinions)
    never_tagged: Sequence[Correction] = [] if tagged is None else [c for c in corrections if not tagged.holds(c)]
    if tagged is not None and never_tagged:
        corrections = [correction for correction in corrections if tagged.holds(correction)]
        opinions = opinions_of(corrections)
    texts = labels_by_text(opinions)
    rows = "".join(
        json.dumps({"text": text, **labels, "source": SOURCE}, ensure_ascii=False) + "\n"
        for text, labels in texts.items()
    ).encode()
    conflicts = conflicting_comments(opinions)
    by_moderator = shares(opinions, pseudonym)
    report: dict[str, object] = {
        "version": version_of(rows),
        "rows": len(texts),
        "labels": label_counts(texts),
        "corrections": len(corrections),
        "comments": len({correction.comment_id for correction in corrections}),
        "rejected": rejected,
        "conflicts": len(conflicts),
        "conflicting_comment_ids": conflicts,
        "compared_with_results": tagged is not None,
        "never_tagged": len(never_tagged),
        "never_tagged_comment_ids": sorted({correction.comment_id for correction in never_tagged}),
        "moderators": len(by_moderator),
        "moderator_shares": [share._asdict() for share in by_moderator[:MAX_MODERATORS_SHOWN]],
        "warnings": warnings(by_moderator),
    }
    return rows, report
