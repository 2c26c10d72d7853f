"""The output event: a comment with its tags, the decision, and where all of it came from."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from schemas.comment import EXAMPLE_COMMENT, MAX_ID_CHARACTERS, CommentFields, Text
from schemas.timestamp import Timestamp

SCHEMA_VERSION = "1.1"

Score = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Action = Literal["allow", "review", "reject"]
AnsweredBy = Literal["model", "memory", "redis"]

EXAMPLE_TAGGED: dict[str, JsonValue] = {
    "schema_version": SCHEMA_VERSION,
    "event_id": "comments-3-51872-1772357400250",
    "comment": EXAMPLE_COMMENT,
    "tags": {
        "sentiment": {
            "label": "positive",
            "score": 0.981,
            "scores": {"negative": 0.004, "neutral": 0.015, "positive": 0.981},
        },
        "toxicity": {"label": "clean", "score": 0.997, "scores": {"clean": 0.997, "toxic": 0.003}},
    },
    "decision": {"action": "allow", "rule": "default", "reason": "no threshold was reached"},
    "truncated": False,
    "model": {"name": "bundled", "version": "m-5f2c9a10"},
    "policy": {"version": "p-1b0e44d7"},
    "source": {"topic": "comments", "partition": 3, "offset": 51872, "timestamp": 1772357400250},
    "answered_by": "model",
    "processed_at": "2026-03-01T09:30:00.291Z",
}


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class Tag(_Part):
    """What the model says about one text in one tag group."""

    label: str = Field(description="The label with the highest score.")
    score: Score = Field(description="The score of that label.")
    scores: dict[str, Score] = Field(min_length=1, description="The score of every label of the group, each in 0..1.")


class Decision(_Part):
    """What a moderator would want to happen to the comment, and why."""

    action: Action = Field(description="`allow` it, put it before a person (`review`), or `reject` it.")
    rule: str = Field(description="The rule that fired, for example `reject:toxicity.toxic`, or `default`.")
    reason: str = Field(description="The same for a person to read, with the score and the threshold.")


class ModelInfo(_Part):
    """Which model the tags come from."""

    name: str = Field(description="The model as it was configured.")
    version: str = Field(
        description="Changes with anything that can change a tag: weights, tokenizer, labels, cleaning."
    )


class PolicyInfo(_Part):
    """Which policy made the decision."""

    version: str = Field(description="Derived from the thresholds: equal thresholds, equal version.")


class Source(_Part):
    """The record that the comment came in."""

    topic: str = Field(description="Its topic.")
    partition: int = Field(ge=0, description="Its partition.")
    offset: int = Field(ge=0, description="Its offset in the partition.")
    # Not RFC 3339: a producer may have set any 64-bit number, and most of those are no date of any calendar.
    timestamp: int | None = Field(
        description="Its Kafka timestamp in milliseconds since 1970-01-01 UTC, as the broker gave it; "
        "null where it has none."
    )


class CommentInEvent(CommentFields):
    """The comment as its producer sent it, unknown fields included. Its text can be left out by a setting, and an id
    that came as an integer is a string here."""

    id: str = Field(min_length=1, max_length=MAX_ID_CHARACTERS, description="The producer's name for the comment.")
    text: Text | None = None


class Prediction(_Part):
    """What is said about one text, and what it comes from: part of every tagged comment, and the answer by HTTP."""

    tags: dict[str, Tag] = Field(
        min_length=1,
        description="One tag per tag group of the model: `sentiment` (negative, neutral, positive) and "
        "`toxicity` (clean, toxic) with the bundled one.",
    )
    decision: Decision
    truncated: bool = Field(
        description="Whether the model did not see the whole text, because it is longer than it can read."
    )
    model: ModelInfo
    policy: PolicyInfo
    answered_by: AnsweredBy = Field(
        description="Where the tags came from: a pass of the `model`, or an earlier answer for the same text kept in "
        "`memory` or in `redis`."
    )
    processed_at: Timestamp = Field(description="When the comment was tagged, RFC 3339 in UTC.")


class TaggedComment(Prediction):
    """The value of a record on the results topic: one for each comment read, keyed as the comment was.

    Headers of the comment's record, trace context included, travel along. Ignore fields that you do not know:
    a minor version adds fields, a major version may change them.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_TAGGED]})

    schema_version: str = Field(
        pattern=r"^1\.[0-9]+$", description="Version of this contract: the minor part grows when fields are added."
    )
    event_id: str = Field(
        min_length=1,
        description="The same for the same source record, whoever processes it and how often: "
        "subscribers drop what they have seen.",
    )
    comment: CommentInEvent
    source: Source
