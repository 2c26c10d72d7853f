"""Low confidence where it is due: what an English model says about a text in another language counts for little."""

from consumer.answer import Answer, Unanswerable
from consumer.model.labels import TagGroup, TagGroups
from consumer.model.language import other_language_score

LANGUAGE = TagGroup("language", "sigmoid", labels=("other",), columns=(), complement="known")
"""The tag group that says whether the model knows the text's language. No logit carries it: it comes from the text."""


_MOST_DOUBT = 0.98  # so that scores stay apart where a cache keeps them in single precision


def with_language(groups: TagGroups) -> TagGroups:
    """Return the groups of a model's logits with LANGUAGE after them."""
    return TagGroups((*groups.groups, LANGUAGE))


def doubted(text: str, answer: Answer | Unanswerable, groups: TagGroups) -> Answer | Unanswerable:
    """Return what an English model's answer to `text` is worth: its scores, then the score of LANGUAGE's label "other".

    In proportion to that score the others move towards no idea: all labels of a softmax group alike, a sigmoid at 0.5.
    That changes no label, and a text that is surely foreign reaches no threshold above 0.51.
    """
    if isinstance(answer, Unanswerable):
        return answer
    other = other_language_score(text)
    doubt = min(other, _MOST_DOUBT)
    no_idea = [
        1.0 / (len(set(group.labels)) * group.labels.count(label)) if group.activation == "softmax" else 0.5
        for group in groups.groups
        if group.columns
        for label in group.labels
    ]
    mixed = [(1.0 - doubt) * score + doubt * even for score, even in zip(answer.scores, no_idea, strict=True)]
    return Answer((*mixed, other), answer.truncated)
