"""The dead letter: a record that cannot be processed, byte for byte as it came, and the headers that say why."""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from schemas.tagged import SCHEMA_VERSION

_PREFIX = "dlq."


class DeadLetterReason(StrEnum):
    """Every reason there is, so that dead letters can be counted by it."""

    # The value is null. On a compacted topic that asks for a deletion; here there is nothing to tag.
    TOMBSTONE = "tombstone"
    # The value is not UTF-8: another encoding, compressed, Avro or Protobuf bytes.
    NOT_UTF_8 = "not-utf-8"
    # The value is UTF-8 and no JSON text: cut short, NaN or Infinity, half a surrogate pair, nested too deeply.
    NOT_JSON = "not-json"
    # The value is JSON and no comment: a field is missing, has the wrong type or is too long, the text is empty.
    NOT_THE_CONTRACT = "not-the-contract"
    # The comment is sound, but the model fails on this very text, also when it is alone in its micro-batch.
    TEXT_FAILS_MODEL = "text-fails-model"
    # The comment was tagged, but the broker refuses the tagged event as too large for the results topic.
    RESULT_TOO_LARGE = "result-too-large"


EXAMPLE_DEAD_LETTER: dict[str, JsonValue] = {
    "dlq.reason": "not-the-contract",
    "dlq.detail": "text: Field required",
    "dlq.topic": "comments",
    "dlq.partition": 3,
    "dlq.offset": 51873,
    "dlq.timestamp": 1772357400913,
    "dlq.version": SCHEMA_VERSION,
}


class DeadLetterHeaders(BaseModel):
    """The headers added to a dead letter; its key, its value and its own headers are untouched.

    In Kafka each value is UTF-8 text, numbers in decimal digits.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=lambda name: _PREFIX + name,
        validate_by_name=True,
        json_schema_extra={"examples": [EXAMPLE_DEAD_LETTER]},
    )

    reason: DeadLetterReason = Field(description="Why the record cannot be processed, from a closed list.")
    detail: str = Field(description="The same for a person to read; it never quotes the comment's text.")
    topic: str = Field(description="The topic the record came from.")
    partition: int = Field(ge=0, description="Its partition there.")
    offset: int = Field(ge=0, description="Its offset there.")
    timestamp: int | None = Field(
        default=None,
        description="Its Kafka timestamp in milliseconds since 1970-01-01 UTC; the header is absent where it has none.",
    )
    version: str = Field(default=SCHEMA_VERSION, pattern=r"^1\.[0-9]+$", description="Version of this contract.")


def to_kafka(headers: DeadLetterHeaders) -> list[tuple[str, bytes]]:
    """Return the `dlq.*` headers in the form that Kafka clients take, to be added after the record's own."""
    fields = headers.model_dump(mode="json", by_alias=True, exclude_none=True)
    return [(name, str(value).encode()) for name, value in fields.items()]


def from_kafka(headers: Iterable[tuple[str, bytes | None]]) -> DeadLetterHeaders:
    """Read the `dlq.*` headers of a dead letter; the last of a name counts, for a record that came here twice.

    Raises ValueError, naming the headers at fault, when it is no dead letter of this version.
    """
    fields = {
        name: value.decode(errors="replace")
        for name, value in headers
        if name.startswith(_PREFIX) and value is not None
    }
    try:
        return DeadLetterHeaders.model_validate_strings(fields)
    except ValidationError as error:
        faults = "; ".join(f"{_PREFIX}{str(e['loc'][0]).removeprefix(_PREFIX)}: {e['msg']}" for e in error.errors())
        raise ValueError(f"Not a dead letter of version {SCHEMA_VERSION}: {faults}.") from error
