"""From tags to a decision: pure, versioned by its content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from consumer.answer import GivenTag
from schemas import Action, Decision, Tag

DEFAULT_REVIEW: Mapping[str, float] = {"toxicity.toxic": 0.5, "language.other": 0.9}
DEFAULT_REJECT: Mapping[str, float] = {"toxicity.toxic": 0.9}

_ALLOW = Decision(action="allow", rule="default", reason="no threshold was reached")


def never_reviewed(review: Mapping[str, float], reject: Mapping[str, float]) -> list[str]:
    """One sentence for each label that would be rejected before it is ever reviewed."""
    return [
        f"POLICY_REVIEW for {name} ({score:g}) is above POLICY_REJECT ({reject[name]:g}), so nothing would ever be "
        "reviewed; lower the first or raise the second (what is not set comes from the model or the defaults)."
        for name, score in review.items()
        if score > reject.get(name, 1.0)
    ]


class PolicyError(ValueError):
    """Thresholds that cannot be used; the message names the setting and the remedy."""


@dataclass(frozen=True)
class Policy:
    """Thresholds by "group.label": at or above `reject` a comment is rejected, else at or above `review` reviewed.

    Where several labels reach a threshold of the same action, the one furthest above its threshold is the rule that
    fired; on a tie, the first by name.
    """

    review: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_REVIEW))
    reject: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_REJECT))

    @cached_property
    def version(self) -> str:
        """`p-` and eight hex digits: equal thresholds, equal version, in whatever order they are written."""
        content = json.dumps({"review": dict(self.review), "reject": dict(self.reject)}, sort_keys=True)
        return "p-" + hashlib.sha256(content.encode()).hexdigest()[:8]

    def decide(self, tags: Mapping[str, Tag | GivenTag]) -> Decision:
        """What a moderator would want to happen to a comment with these tags, and why."""
        if rejected := _furthest_above(self.reject, tags):
            return _decision("reject", *rejected)
        if reviewed := _furthest_above(self.review, tags):
            return _decision("review", *reviewed)
        return _ALLOW

    def check_against(self, labels: Mapping[str, Sequence[str]]) -> None:
        """Raise `PolicyError` when a threshold names a tag group or a label that the model does not have."""
        known = [f"{group}.{label}" for group, names in labels.items() for label in names]
        for setting, thresholds in (("POLICY_REVIEW", self.review), ("POLICY_REJECT", self.reject)):
            for name in thresholds:
                if name not in known:
                    raise PolicyError(
                        f"{setting} has a threshold for {name}, but the model's labels are {', '.join(known)}; "
                        "correct or remove it."
                    )


def _furthest_above(
    thresholds: Mapping[str, float], tags: Mapping[str, Tag | GivenTag]
) -> tuple[str, float, float] | None:
    """The name, score and threshold of the label that is furthest above its threshold; None when none reaches it."""
    reached = []
    for name, threshold in thresholds.items():
        group, _, label = name.rpartition(".")
        score = tags[group].scores.get(label) if group in tags else None
        if score is not None and score >= threshold:
            reached.append((name, score, threshold))
    return min(reached, key=lambda found: (found[2] - found[1], found[0])) if reached else None


def _decision(action: Action, name: str, score: float, threshold: float) -> Decision:
    # The same digits for both: rounded apart, 0.676 would be "at or above" 0.675 written as 0.68.
    reason = f"{name} {score:.3f} is at or above {threshold:.3f}"
    return Decision.model_construct(action=action, rule=f"{action}:{name}", reason=reason)
