"""Cleaned comments, and of equal ones a single one with the labels most of them have."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from consumer.model.cleaning import clean
from consumer.training.data import LABELS, NumberedRow, Row

UNREADABLE = "cleaning fails"
EMPTY = "empty after cleaning"
DUPLICATE = "duplicate"
OUTVOTED = "conflicting label, outvoted"
TIED = "conflicting labels, no majority"
NEAR_HELD_OUT = "equal to or near-duplicate of a held-out row"

Drops = Counter[tuple[Path, str]]
"""How many rows of a file were dropped for a reason."""


class Comment(NamedTuple):
    """A labelled comment with a cleaned text, the file and line it was read from and the language it was said to be."""

    row: Row
    file: Path
    line: int
    language: str

    @property
    def key(self) -> str:
        """What equal comments share: the cleaned text in whatever letter case."""
        return self.row.text.casefold()


class Conflict(NamedTuple):
    """Equal texts with different labels of a tag group: label → first place (file:line), and the label kept, if any."""

    group: str
    places: dict[str, str]
    kept: str | None


def cleaned_comments(rows: Iterable[NumberedRow], file: Path, drops: Drops) -> list[Comment]:
    """Return the rows with cleaned texts, without those that have nothing left to read, which `drops` then counts.

    `read_file` has let pass no text that cannot be cleaned.
    """
    comments = []
    for row, line, language in rows:
        text = clean(row.text)
        if text:
            comments.append(Comment(Row(text, row.labels, _one_line(row.source)), file, line, _one_line(language)))
        else:
            drops[file, EMPTY] += 1
    return comments


def merged(comments: Iterable[Comment], drops: Drops) -> tuple[list[Comment], list[Conflict]]:
    """Return one comment for every text, and the conflicts: in each tag group the label of most of its rows wins.

    A text without a majority in some group is dropped whole: its label would be a coin toss.
    """
    by_key: dict[str, list[Comment]] = {}
    for comment in comments:
        by_key.setdefault(comment.key, []).append(comment)
    kept: list[Comment] = []
    conflicts: list[Conflict] = []
    for equal in by_key.values():
        labels, found = _vote(equal)
        conflicts += found
        if any(conflict.kept is None for conflict in found):
            drops.update((comment.file, TIED) for comment in equal)
            continue
        first = next((comment for comment in equal if _agrees(comment, labels)), equal[0])
        kept.append(first._replace(row=first.row._replace(labels=labels)))
        others = (comment for comment in equal if comment is not first)
        drops.update((comment.file, DUPLICATE if _agrees(comment, labels) else OUTVOTED) for comment in others)
    return kept, conflicts


def _one_line(name: str) -> str:
    """Return a name as a report can show it: JSON allows line breaks and lone surrogates, which cannot be written."""
    return " ".join(name.encode("utf-8", "replace").decode().split())


def _vote(equal: Sequence[Comment]) -> tuple[dict[str, str], list[Conflict]]:
    labels: dict[str, str] = {}
    conflicts = []
    for group in LABELS:
        labelled = [comment for comment in equal if group in comment.row.labels]
        votes = Counter(comment.row.labels[group] for comment in labelled).most_common()
        if not votes:
            continue
        is_tie = len(votes) > 1 and votes[0][1] == votes[1][1]
        if not is_tie:
            labels[group] = votes[0][0]
        if len(votes) > 1:
            places: dict[str, str] = {}
            for comment in labelled:
                places.setdefault(comment.row.labels[group], f"{comment.file}:{comment.line}")
            conflicts.append(Conflict(group, places, labels.get(group)))
    return labels, conflicts


def _agrees(comment: Comment, labels: dict[str, str]) -> bool:
    return comment.row.labels.items() <= labels.items()
