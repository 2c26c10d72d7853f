"""The input event: one comment, as a producer sends it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from schemas.timestamp import Timestamp

MAX_TEXT_CHARACTERS = 10_000

CommentId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        description="The producer's name for the comment. It is the Kafka key of every event about it "
        "where the producer set no key.",
    ),
]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_CHARACTERS),
    Field(
        description="What the person wrote: 1 to 10,000 characters, not counting white space around them.",
        # JSON Schema cannot trim, so it needs the pattern to refuse a text of white space alone.
        json_schema_extra={"pattern": r"\S"},
    ),
]

EXAMPLE_COMMENT: dict[str, JsonValue] = {
    "id": "c-1042",
    "text": "Best recipe on this site, thank you!",
    "author_id": "u-77",
    "thread_id": "t-9",
    "language": "en",
    "created_at": "2026-03-01T09:30:00.250Z",
    "metadata": {"client": "ios"},
}


class CommentFields(BaseModel):
    """What a producer may send along with a comment; unknown fields are kept, since producers evolve first."""

    # Strict: a number where a string belongs is a fault of the producer, to be seen and not to be guessed at.
    # Hidden input: an error's message may reach a log, a comment's text may not.
    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)

    id: CommentId
    author_id: str | None = Field(default=None, description="Who wrote it.")
    thread_id: str | None = Field(default=None, description="The thread, article or video it was written under.")
    language: str | None = Field(
        default=None,
        max_length=35,
        pattern=r"^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$",
        description="Its language as a BCP 47 tag, for example `en` or `pt-BR`.",
    )
    created_at: Timestamp | None = Field(
        default=None, description="When it was written: RFC 3339 with an offset, for example 2026-03-01T09:30:00Z."
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="Anything else the producer wants to find again in the tagged event."
    )


class Comment(CommentFields):
    """One comment to be tagged: the value of a record on the input topic."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_COMMENT]})

    text: Text
