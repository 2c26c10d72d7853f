"""What flows through the pipeline: records as read, items on their way to an outcome, and the batch that is
checkpointed."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer.answer import Answer, Unanswerable
from consumer.verdict import Verdict
from schemas import AnsweredBy, DeadLetterReason

Headers = Sequence[tuple[str, bytes | None]]


class Record(NamedTuple):
    """One Kafka record, byte for byte; `timestamp_ms` is milliseconds since the epoch, None when the broker gave
    none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


class Decoded(NamedTuple):
    """A comment that keeps the contract.

    `text` has the characters that are judged, and `is_cut` says whether there were more. `json` is the comment as its
    event carries it: byte for byte as it came, but for what the contract says of byte order marks, halves of surrogate
    pairs and integer ids. `misfits` names the fields in another form than described.
    """

    comment_id: str
    text: str
    is_cut: bool
    json: bytes
    misfits: list[str]


class Refusal(NamedTuple):
    """Why a record becomes a dead letter; `detail` is for a person and never quotes the comment."""

    reason: DeadLetterReason
    detail: str


@dataclass(slots=True, eq=False)
class Lease:
    """This member's hold on one partition, from assignment to revocation; work read under it is void once not `valid`.

    `in_flight` counts the batches in the pipeline that hold records of it; `acknowledged` is the next offset once every
    output before it is acknowledged, until that is committed. Changed by `Assignment` only.
    """

    topic: str
    partition: int
    valid: bool = True
    in_flight: int = 0
    acknowledged: int | None = None


class Asked(NamedTuple):
    """Where the model's answer to a text will be: at `position` of `answers`, which raises when the model is broken."""

    answers: "Future[list[Answer | Unanswerable]]"
    position: int


@dataclass(slots=True, eq=False)
class Item:
    """One record on its way; each stage fills in its part, and exactly one of `answer` and `refusal` is set at the
    end. `comment` is what was decoded, and `added_headers` go out with the tagged comment, behind the record's own."""

    record: Record
    lease: Lease
    comment: Decoded | None = None
    model_text: str = ""
    cache_key: bytes = b""
    asked: Asked | None = None
    answer: Answer | None = None
    answered_by: AnsweredBy = "model"
    refusal: Refusal | None = None
    verdict: Verdict | None = None
    added_headers: Headers = ()


@dataclass(slots=True, eq=False)
class Batch:
    """What one consume call returned, and for each partition the offset to commit once all of it is out.

    Owned by one stage at a time, in queue order. `queued_at_s` is since when it has waited for its present stage
    (monotonic clock).
    """

    items: list[Item]
    next_offsets: Mapping[Lease, int] = field(default_factory=dict)
    queued_at_s: float = 0.0

    def waiting(self) -> list[Item]:
        """The items that have neither an answer nor a refusal yet."""
        return [item for item in self.items if item.answer is None and item.refusal is None]


class Outgoing(NamedTuple):
    """One message to publish for `record`: its tagged comment or its dead letter."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    record: Record
    is_dead_letter: bool
