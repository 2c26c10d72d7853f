"""What moderators' corrections amount to: pure, and free of the model, so that collecting them starts at once."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from schemas import CorrectedLabels
from schemas.timestamp import Timestamp

TAG_GROUPS = tuple(CorrectedLabels.model_fields)
MAX_MODERATORS_PER_LABEL = 100
"""So many moderators' last words on one comment and tag group are kept, the latest: whoever writes corrections names
the moderator, and could name a new one with each."""


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
    comment apart, which is all that conflicts need, and cannot be followed from one comment to the next. `sealed` is
    the moderator's pseudonym, which is counted per moderator; without the key it says nothing. Lines of an earlier
    version have none.
    """

    comment_id: str
    text: str
    labels: CorrectedLabels
    at: Timestamp
    moderator: str
    sealed: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")


class Rejected(_Entry):
    """A record that is no correction: why, and its value in base64 (None for a tombstone)."""

    reason: str
    value_base64: str | None = None


Opinions = dict[tuple[str, str], dict[str, Correction]]
"""By comment and tag group: each moderator's last correction."""


def add_opinion(opinions: Opinions, correction: Correction) -> None:
    """Let a moderator's correction take the place of their earlier one, whichever comes first."""
    for group in labels_of(correction):
        of_moderators = opinions.setdefault((correction.comment_id, group), {})
        earlier = of_moderators.get(correction.moderator)
        if earlier is None or _order(earlier) < _order(correction):
            of_moderators[correction.moderator] = correction
        if len(of_moderators) > MAX_MODERATORS_PER_LABEL:
            del of_moderators[min(of_moderators, key=lambda moderator: _order(of_moderators[moderator]))]


def opinions_of(corrections: Iterable[Correction]) -> Opinions:
    """The corrections that stand, in whatever order they come."""
    opinions: Opinions = {}
    for correction in corrections:
        add_opinion(opinions, correction)
    return opinions


def standing(opinions: Opinions) -> list[Correction]:
    """The corrections that stand, in the order of their records; the others change nothing any more."""
    unique = {correction.position: correction for of in opinions.values() for correction in of.values()}
    return [unique[position] for position in sorted(unique)]


def winners(opinions: Opinions) -> dict[tuple[str, str], Correction]:
    """By text and tag group, sorted: the correction whose label it has.

    For every comment and tag group the last correction counts: by `at`, then by offset. A label belongs to the text
    it was given for, so an edited comment leaves two texts; equal texts of several comments are one, the last wins.
    """
    won: dict[tuple[str, str], Correction] = {}
    for (_, group), of_moderators in opinions.items():
        last = max(of_moderators.values(), key=_order)
        rival = won.get((last.text, group))
        if rival is None or _order(rival) < _order(last):
            won[last.text, group] = last
    return {key: won[key] for key in sorted(won)}


def labels_by_text(opinions: Opinions) -> dict[str, dict[str, str]]:
    """The labels of each text, sorted by text."""
    texts: dict[str, dict[str, str]] = {}
    for (text, group), correction in winners(opinions).items():
        texts.setdefault(text, {})[group] = labels_of(correction)[group]
    return texts


def conflicting_comments(opinions: Opinions) -> list[str]:
    """The ids of the comments whose text has two labels of one tag group that somebody stands by, sorted.

    A moderator stands by the last label they gave: who changes their mind contradicts nobody. Comments with the same
    text are looked at together, since they are one row: else a correction of a made-up comment could turn the label
    of a text unseen.
    """
    comments: dict[tuple[str, str], dict[str, set[str]]] = {}
    for (comment_id, group), of_moderators in opinions.items():
        for correction in of_moderators.values():
            by_label = comments.setdefault((correction.text, group), {})
            by_label.setdefault(labels_of(correction)[group], set()).add(comment_id)
    in_conflict = (ids for by_label in comments.values() if len(by_label) > 1 for ids in by_label.values())
    return sorted(set().union(*in_conflict))


def label_counts(texts: dict[str, dict[str, str]]) -> dict[str, dict[str, int]]:
    """How many texts carry each label, by tag group."""
    counts: dict[str, Counter[str]] = {}
    for labels in texts.values():
        for group, label in labels.items():
            counts.setdefault(group, Counter())[label] += 1
    return {group: dict(sorted(counts[group].items())) for group in sorted(counts)}


def labels_of(correction: Correction) -> dict[str, str]:
    """The corrected label of each tag group that the moderator judged."""
    given = correction.labels
    return {group: label for group in TAG_GROUPS if (label := getattr(given, group)) is not None}


def _order(correction: Correction) -> tuple[datetime, int, str, int]:
    """Topic and partition only make the order total, so that the result does not hang on who came first."""
    return correction.at, correction.offset, correction.topic, correction.partition
