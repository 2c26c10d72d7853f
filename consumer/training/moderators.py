"""Moderators without their names: who is who on one comment, and how much of the labels each gave.

On disk a moderator is only ever a keyed digest that is another on each comment, and a pseudonym that is masked anew in
each line. Both say nothing without the key, which `moderate feedback collect` keeps in a file of its own.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from consumer.training.corrections import Correction, Opinions, labels_of, winners

DOMINANT_SHARE = 0.5
MIN_LABELS = 100
"""Below this many labels in all, one moderator's share of them says little."""
MIN_SHARED = 20
"""Below this many labels that two others judged too, how often a moderator was outvoted says little."""

_DIGEST_BYTES = 8


class Share(NamedTuple):
    """What one moderator gave; `moderator` is their pseudonym, None for all of whom an earlier version kept none.

    `corrections` are the labels they stand by, `labels` those of the training rows that are theirs, and `share` is
    their part of all of these. Of the `judged_by_three` labels that two others at least stand by or against, the
    majority gave another one in `outvoted`.
    """

    moderator: str | None
    corrections: int
    labels: int
    share: float
    judged_by_three: int
    outvoted: int


def digest_on_comment(comment_id: str, moderator_id: str, key: bytes) -> str:
    """Tells the moderators of one comment apart, and cannot be followed to another."""
    identity = json.dumps([comment_id, moderator_id]).encode()
    return hashlib.blake2b(identity, key=key, digest_size=_DIGEST_BYTES).hexdigest()


def seal(moderator_id: str, key: bytes, position: tuple[str, int, int]) -> str:
    """The moderator's pseudonym under a mask that is used for one record only; `unseal` takes it off."""
    name = moderator_id.encode("utf-8", "surrogatepass")
    pseudonym = hashlib.blake2b(name, key=key, digest_size=_DIGEST_BYTES, person=b"pseudonym").digest()
    return _masked(pseudonym, key, position)


def unseal(correction: Correction, key: bytes) -> str | None:
    """The pseudonym of the moderator: the same in the whole dataset, another one in every other."""
    if correction.sealed is None:
        return None
    return _masked(bytes.fromhex(correction.sealed), key, correction.position)


def _masked(pseudonym: bytes, key: bytes, position: tuple[str, int, int]) -> str:
    where = json.dumps(position).encode()
    mask = hashlib.blake2b(where, key=key, digest_size=_DIGEST_BYTES, person=b"mask").digest()
    return bytes(a ^ b for a, b in zip(pseudonym, mask, strict=True)).hex()


def shares(opinions: Opinions, pseudonym: Callable[[Correction], str | None]) -> list[Share]:
    """What each moderator gave, the largest share first."""
    won = Counter(pseudonym(correction) for correction in winners(opinions).values())
    given: Counter[str | None] = Counter()
    judged_by_three: Counter[str | None] = Counter()
    outvoted: Counter[str | None] = Counter()
    for (_, group), of_moderators in opinions.items():
        by_text: dict[str, list[tuple[str | None, str]]] = {}
        for correction in of_moderators.values():
            moderator = pseudonym(correction)
            given[moderator] += 1
            by_text.setdefault(correction.text, []).append((moderator, labels_of(correction)[group]))
        for votes in by_text.values():
            if len(votes) >= 3:
                majority = _majority([label for _, label in votes])
                judged_by_three.update(moderator for moderator, _ in votes)
                outvoted.update(moderator for moderator, label in votes if majority not in (None, label))
    total = won.total() or 1
    found = [
        Share(moderator, given[moderator], won[moderator], won[moderator] / total, judged_by_three[moderator],
              outvoted[moderator])
        for moderator in given
    ]  # fmt: skip
    return sorted(found, key=lambda share: (-share.labels, -share.corrections, share.moderator or ""))


def _majority(labels: Sequence[str]) -> str | None:
    label, votes = Counter(labels).most_common(1)[0]
    return label if votes * 2 > len(labels) else None


def warnings(found: Sequence[Share]) -> list[str]:
    """One sentence for each moderator whose labels somebody should look at before they train a model."""
    total = sum(share.labels for share in found)
    sentences = []
    for share in found:
        if share.moderator is None:
            continue
        if total >= MIN_LABELS and share.share > DOMINANT_SHARE:
            sentences.append(
                f"moderator {share.moderator} gave {share.share:.0%} of the {total:,} labels: the model would learn "
                "one person's judgement"
            )
        if share.judged_by_three >= MIN_SHARED and share.outvoted > DOMINANT_SHARE * share.judged_by_three:
            sentences.append(
                f"moderator {share.moderator} was outvoted in {share.outvoted:,} of the {share.judged_by_three:,} "
                "labels that two others gave too"
            )
    return sentences
