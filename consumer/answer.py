"""What the model says about one text, in the form the cache stores and the tags are built from; and what it cost."""

from typing import NamedTuple


class Answer(NamedTuple):
    """The model's scores for one text.

    `scores` holds one number in 0..1 per model label, in the order of the model's tag groups;
    `truncated` says that the model did not see the whole text.
    """

    scores: tuple[float, ...]
    truncated: bool


class GivenTag(NamedTuple):
    """One tag as it is given: what `schemas.Tag` describes, without the 2 µs that a pydantic object costs to make."""

    label: str
    score: float
    scores: dict[str, float]


class Unanswerable(NamedTuple):
    """A text that makes the model fail; `detail` says how, and never quotes the text."""

    detail: str


class ModelPass(NamedTuple):
    """One forward pass of the model: how many texts, how many tokens they have, how many it ran over with padding, and
    when it began and ended (`time.perf_counter`): those that run side by side overlap."""

    texts: int
    tokens: int
    padded_tokens: int
    began_s: float
    ended_s: float
