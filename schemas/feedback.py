"""Feedback: a moderator's correction of a tagged comment, which becomes training data."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from schemas.comment import MAX_TEXT_CHARACTERS, CommentId
from schemas.timestamp import Timestamp

MAX_MODERATOR_ID_CHARACTERS = 256
MAX_MINUTES_AHEAD = 5
"""How far `at` may lie ahead of its record's own time: clocks differ."""

_LARGEST_ID = 10**20 - 1
"""20 digits, which every unsigned 64-bit number fits into."""

EXAMPLE_FEEDBACK: dict[str, JsonValue] = {
    "comment_id": "c-1042",
    "text": "Best recipe on this site, thank you!",
    "labels": {"toxicity": "clean"},
    "moderator_id": "m-3",
    "at": "2026-03-01T10:02:11Z",
}

_AT_LEAST_ONE: dict[str, JsonValue] = {
    "anyOf": [{"required": [group], "properties": {group: {"type": "string"}}} for group in ("sentiment", "toxicity")]
}


class CorrectedLabels(BaseModel):
    """What the tags should have said; a tag group left out was not judged. At least one is given."""

    # Forbid: a misspelt tag group would otherwise be a correction that silently teaches nothing.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, json_schema_extra=_AT_LEAST_ONE)

    sentiment: Literal["negative", "neutral", "positive"] | None = Field(
        default=None, description="The right sentiment."
    )
    toxicity: Literal["clean", "toxic"] | None = Field(default=None, description="Whether it is toxic.")

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.sentiment is None and self.toxicity is None:
            raise ValueError("give the right sentiment, toxicity or both")
        return self


def _as_digits(value: object) -> object:
    return str(value) if type(value) is int and abs(value) <= _LARGEST_ID else value


_Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MODERATOR_ID_CHARACTERS)]
_Digits = Annotated[int, Field(ge=-_LARGEST_ID, le=_LARGEST_ID)]


class Feedback(BaseModel):
    """The value of a record on the feedback topic, keyed by the comment's id. Only the moderators' tool may write it:
    what it says trains the model. A member that the contract names may stand in it once."""

    model_config = ConfigDict(
        strict=True, frozen=True, hide_input_in_errors=True, json_schema_extra={"examples": [EXAMPLE_FEEDBACK]}
    )

    comment_id: Annotated[
        CommentId,
        BeforeValidator(_as_digits, json_schema_input_type=_Id | _Digits),
        Field(description="The comment's id, as its tagged event has it. An integer stands for its digits."),
    ]
    text: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1),
        Field(
            description=f"The comment's text, as its tagged event has it. The first {MAX_TEXT_CHARACTERS:,} characters "
            "count, because those were judged.",
            # JSON Schema cannot trim, so it needs the pattern to refuse a text of white space alone.
            json_schema_extra={"pattern": r"\S"},
        ),
    ]
    labels: CorrectedLabels
    moderator_id: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_MODERATOR_ID_CHARACTERS),
        BeforeValidator(_as_digits, json_schema_input_type=_Id | _Digits),
        Field(description="Who corrected it. An integer stands for its digits."),
    ]
    at: Timestamp = Field(
        description="When it was corrected: RFC 3339 with an offset. The last correction counts. A time more than "
        f"{MAX_MINUTES_AHEAD} minutes ahead of the record's own is refused."
    )
