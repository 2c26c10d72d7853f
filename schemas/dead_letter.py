"""The dead letter: a record that cannot be processed, byte for byte as it came, and the headers that say why.

The dead-letter topic also holds receipts: a record without a value whose header `dlq.replayed` names the dead letter of
the same topic that was sent to the input topic again. A subscriber that wants dead letters only skips every record
without `dlq.reason`.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from schemas.tagged import SCHEMA_VERSION

_PREFIX = "dlq."
_REASON = "dlq.reason"
ATTEMPTS_HEADER = "dlq.attempts"
RECEIPT_HEADER = "dlq.replayed"

_ATTEMPTS = re.compile(r"[0-9]{1,9}")
_POSITION = re.compile(r"([0-9]{1,10}):([0-9]{1,19})")

Headers = Iterable[tuple[str, bytes | None]]


class DeadLetterReason(StrEnum):
    """Every reason there is, so that dead letters can be counted by it."""

    # The value is null. On a compacted topic that asks for a deletion; here there is nothing to tag.
    TOMBSTONE = "tombstone"
    # The value is not UTF-8: another encoding, compressed, Avro or Protobuf bytes.
    NOT_UTF_8 = "not-utf-8"
    # The value is UTF-8 and no JSON text: cut short, NaN or Infinity, a number of 4,300 digits, nested too deeply.
    NOT_JSON = "not-json"
    # The value is JSON and no comment: `id` or `text` is missing, twice there, of the wrong type, or the text is empty.
    NOT_THE_CONTRACT = "not-the-contract"
    # The comment is sound, but the model or another step fails on this very text, also when it is alone.
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
    attempts: int = Field(
        default=0,
        ge=0,
        description="How often the record was replayed before it failed this time. The replay gives it this header, so "
        "it stands among the record's own ones; absent or unreadable = 0.",
    )
    version: str = Field(default=SCHEMA_VERSION, pattern=r"^1\.[0-9]+$", description="Version of this contract.")


class ReplayReceipt(BaseModel):
    """The header of a receipt: a record of the dead-letter topic without key, value and `dlq.reason`.

    It becomes visible together with the replayed record, in one transaction, and in the partition of its dead letter,
    so that retention never removes it first.
    """

    model_config = ConfigDict(
        frozen=True, validate_by_name=True, json_schema_extra={"examples": [{RECEIPT_HEADER: "3:51873"}]}
    )

    replayed: str = Field(
        alias=RECEIPT_HEADER,
        pattern=r"^[0-9]{1,10}:[0-9]{1,19}$",
        description="Partition and offset, in the dead-letter topic, of the dead letter that was replayed.",
    )


def to_kafka(headers: DeadLetterHeaders) -> list[tuple[str, bytes]]:
    """Return the `dlq.*` headers in the form that Kafka clients take, to be added after the record's own.

    No attempts are left out: the record's own header counts them.
    """
    fields = headers.model_dump(mode="json", by_alias=True, exclude_none=True)
    if not headers.attempts:
        del fields[ATTEMPTS_HEADER]
    return [(name, str(value).encode()) for name, value in fields.items()]


def from_kafka(headers: Headers) -> DeadLetterHeaders:
    """Read the `dlq.*` headers of a dead letter; the last of a name counts, for a record that came here twice.

    Raises ValueError, naming the headers at fault, when it is no dead letter of this version.
    """
    fields = {
        name: value.decode(errors="replace")
        for name, value in headers
        if name.startswith(_PREFIX) and value is not None
    }
    # A header of the record itself: whoever produced it may have written anything there.
    if not _ATTEMPTS.fullmatch(fields.get(ATTEMPTS_HEADER, "")):
        fields.pop(ATTEMPTS_HEADER, None)
    try:
        return DeadLetterHeaders.model_validate_strings(fields)
    except ValidationError as error:
        faults = "; ".join(f"{_PREFIX}{str(e['loc'][0]).removeprefix(_PREFIX)}: {e['msg']}" for e in error.errors())
        raise ValueError(f"Not a dead letter of version {SCHEMA_VERSION}: {faults}.") from error


def replay_headers(headers: Headers, attempts: int) -> list[tuple[str, bytes | None]]:
    """The headers of a dead letter's record when it is replayed: its own, and how often that has been done."""
    own = [(name, value) for name, value in headers if not name.startswith(_PREFIX)]
    return [*own, (ATTEMPTS_HEADER, str(attempts).encode())]


def receipt_to_kafka(partition: int, offset: int) -> list[tuple[str, bytes]]:
    """The headers of the receipt for the dead letter at this place of the dead-letter topic."""
    return [(RECEIPT_HEADER, f"{partition}:{offset}".encode())]


def receipt_from_kafka(headers: Headers) -> tuple[int, int] | None:
    """The partition and offset of the dead letter that a receipt tells of; None for a record that is no receipt.

    A producer's own header of this name does not make a receipt of a dead letter, which always has `dlq.reason`.
    """
    values = dict(headers)
    if _REASON in values:
        return None
    position = _POSITION.fullmatch((values.get(RECEIPT_HEADER) or b"").decode(errors="replace"))
    return (int(position[1]), int(position[2])) if position else None
