"""From a record on the feedback topic to a correction, or to the reason why it is none; never an exception."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError

from consumer.json_bytes import DoubledMemberError, refuse_doubled_member, whole_text
from consumer.text_limit import judged_part
from consumer.training.corrections import Correction, Rejected
from consumer.training.moderators import digest_on_comment, seal
from schemas import CorrectedLabels, Feedback
from schemas.feedback import MAX_MINUTES_AHEAD

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
MAX_MS_AHEAD = MAX_MINUTES_AHEAD * 60_000
_MAX_REASON_CHARACTERS = 300
_MAX_NAME_CHARACTERS = 40
_MAX_DIGITS = 21
"""A sign, and the 20 digits of the longest id; Python refuses to read integers of more than 4,300."""
_NAMES = frozenset(Feedback.model_fields) | frozenset(CorrectedLabels.model_fields)


class FeedbackRecord(NamedTuple):
    """A record as read; `timestamp_ms` is its own Kafka time in milliseconds since 1970 UTC, None where it has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    value: bytes | None


class _RefusedError(Exception):
    """The record is no correction; the message says why, and quotes no value."""


def entry_of(record: FeedbackRecord, key: bytes, now_ms: int) -> Correction | Rejected:
    """Check a record of the feedback topic against its contract and against the time.

    `key` is the secret key of the moderators' digests, `now_ms` is this machine's clock (milliseconds since 1970 UTC).
    A correction from further ahead than clocks differ would win over every later one and is rejected; one from
    slightly ahead counts as made when its record was, so that being ahead wins nothing. The record's own time may have
    been set by whoever wrote the correction: of it and the clock the earlier counts.
    """
    where: dict[str, Any] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    try:
        feedback = _feedback(record.value)
        at = _moment(feedback.at, record.timestamp_ms, now_ms)
    except _RefusedError as error:
        raw = None if record.value is None else base64.b64encode(record.value).decode()
        return Rejected(**where, reason=str(error)[:_MAX_REASON_CHARACTERS], value_base64=raw)
    return Correction(
        **where,
        comment_id=feedback.comment_id,
        text=judged_part(feedback.text)[0],
        labels=feedback.labels,
        at=at,
        moderator=digest_on_comment(feedback.comment_id, feedback.moderator_id, key),
        sealed=seal(feedback.moderator_id, key, (record.topic, record.partition, record.offset)),
    )


def is_ahead(at: datetime, bound_ms: int) -> bool:
    """Whether a moment lies further ahead of `bound_ms` than clocks differ."""
    return _ms_of(at) > bound_ms + MAX_MS_AHEAD


def _moment(at: datetime, timestamp_ms: int | None, now_ms: int) -> datetime:
    has_time = timestamp_ms is not None and 0 <= timestamp_ms <= now_ms
    bound_ms = timestamp_ms if timestamp_ms is not None and has_time else now_ms
    bound = _EPOCH + bound_ms * _MILLISECOND
    if is_ahead(at, bound_ms):
        of_whom = "the record's own time" if has_time else "the clock of this machine"
        raise _RefusedError(
            f"at: more than {MAX_MINUTES_AHEAD} minutes ahead of {of_whom}, {bound:%Y-%m-%dT%H:%M:%SZ}; it would win "
            "over every correction until then"
        )
    return min(at, bound)


def _ms_of(at: datetime) -> int:
    """By subtraction, which has an answer for every moment: the year 1 east of Greenwich is no year of UTC."""
    return (at - _EPOCH) // _MILLISECOND


def _feedback(value: bytes | None) -> Feedback:
    """The record's value by its contract; raises `_RefusedError`.

    A byte order mark is skipped, half a surrogate pair becomes U+FFFD, and fields that the contract does not name are
    left out. A name of the contract that stands twice is refused: readers differ in which of the two counts.
    """
    if value is None:
        raise _RefusedError("the record has no value (a tombstone)")
    try:
        fields = json.loads(value.decode("utf-8-sig"), object_pairs_hook=_object, parse_int=_integer)
    except DoubledMemberError as error:
        raise _RefusedError(str(error)) from None
    except UnicodeDecodeError:
        raise _RefusedError("value: Invalid JSON: it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _RefusedError(f"value: Invalid JSON: {error.msg}, character {error.pos + 1}") from None
    except RecursionError:
        raise _RefusedError("value: Invalid JSON: it is nested too deep") from None
    if not isinstance(fields, dict):
        raise _RefusedError("value: Input should be an object")
    known = {name: fields[name] for name in Feedback.model_fields if name in fields}
    try:
        text = json.dumps(known, ensure_ascii=False)
        return Feedback.model_validate_json(whole_text(text).encode())
    except RecursionError:
        raise _RefusedError("value: Invalid JSON: it is nested too deep") from None
    except ValidationError as error:
        raise _RefusedError(_reason(error)) from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    refuse_doubled_member(pairs, _NAMES)
    return dict(pairs)


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _reason(error: ValidationError) -> str:
    """What breaks the contract, field by field, without the value that was given."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{_name(problem['loc'])}: {problem['msg']}" for problem in problems)


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part)[:_MAX_NAME_CHARACTERS] for part in location) or "value"
