"""From an answer to what is said about a comment: tags, decision, and where both come from."""

from collections.abc import Callable
from typing import Any, NamedTuple

from consumer.answer import Answer
from consumer.policy import Policy
from schemas import Decision, ModelInfo, Tag

TagsOf = Callable[[Answer], dict[str, Tag]]


class Verdict(NamedTuple):
    """The tags of one comment, and what the policy makes of them."""

    tags: dict[str, Tag]
    decision: Decision


class Judge:
    """One model's labels and one policy, the same for the stream and for HTTP; it has no state of its own."""

    def __init__(self, *, tags_of: TagsOf, model: ModelInfo, policy: Policy) -> None:
        self._tags_of = tags_of
        self._policy = policy
        self.provenance: dict[str, Any] = {"model": model.model_dump(), "policy": {"version": policy.version}}

    def verdict(self, answer: Answer) -> Verdict:
        """What to say about a text that got this answer."""
        tags = self._tags_of(answer)
        return Verdict(tags, self._policy.decide(tags))

    def fields(self, answer: Answer, verdict: Verdict) -> dict[str, Any]:
        """`tags`, `decision`, `truncated`, `model` and `policy`, as every event and every HTTP answer has them."""
        return {
            "tags": {
                group: {"label": tag.label, "score": tag.score, "scores": tag.scores}
                for group, tag in verdict.tags.items()
            },
            "decision": verdict.decision.model_dump(),
            "truncated": answer.truncated,
            **self.provenance,
        }
