"""Bytes in, a comment's id and text or a refusal out; never an exception."""

from pydantic import ValidationError
from pydantic_core import from_json

from consumer.batch import Decoded, Refusal
from consumer.json_bytes import Once, member, parsed
from consumer.text_limit import judged_part
from schemas import Comment, DeadLetterReason
from schemas.comment import misfits

NESTING_HEADROOM = 8
"""A tagged event carries the comment one level down; subscribers may wrap it again. pydantic's JSON parser stops at 200
levels."""
NESTING_SUSPECT = 190

_ONCE = Once("id", "text")
"""The members that decide what is judged, and under which name: a reader who takes the other of two would see what
nobody has judged."""

_validate_json = Comment.__pydantic_validator__.validate_json
"""What `Comment.model_validate_json` comes to after it has looked at options that nobody gives here (0.9 µs)."""


def decode(value: bytes | None) -> Decoded | Refusal:
    """Check a record's value against the input contract.

    pydantic parses and checks in one pass (2.3 µs a comment). What its parser allows beyond JSON (NaN, Infinity), what
    subscribers could not read once wrapped (nesting at the parser's limit) and names that stand twice are looked for
    only where the bytes hint at it.
    """
    if value is None:
        return Refusal(
            DeadLetterReason.TOMBSTONE, "the record has no value (a tombstone); a comment must be a JSON object"
        )
    try:
        comment, json = parsed(_validate_json, value)
        if b"NaN" in json or b"Infinity" in json:
            from_json(json, allow_inf_nan=False)
        if json.count(b"[") + json.count(b"{") > NESTING_SUSPECT:
            from_json(b"[" * NESTING_HEADROOM + json + b"]" * NESTING_HEADROOM)
    except ValidationError as error:
        return _refusal(value, error)
    except ValueError as error:
        return Refusal(DeadLetterReason.NOT_JSON, str(error))
    try:
        _ONCE.check(json)
    except ValueError as error:
        return Refusal(DeadLetterReason.NOT_THE_CONTRACT, str(error))
    if comment.id.lstrip("-").isdigit():
        json = _with_string_id(json, comment.id)
    return Decoded(comment.id, *judged_part(comment.text), json, misfits(comment))


def _with_string_id(json: bytes, comment_id: str) -> bytes:
    """The comment with an integer id as the string that every event has; a string stays as it is."""
    text = json.decode()
    found = member(text, "id")
    if text[found.value_start] == '"':
        return json
    return f'{text[: found.value_start]}"{comment_id}"{text[found.end :]}'.encode()


def _refusal(value: bytes, error: ValidationError) -> Refusal:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] != "json_invalid":
        sentences = [f"{'.'.join(map(str, p['loc'])) or 'value'}: {p['msg']}" for p in problems[:5]]
        return Refusal(DeadLetterReason.NOT_THE_CONTRACT, "; ".join(sentences)[:1000])
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        return Refusal(DeadLetterReason.NOT_UTF_8, f"byte {undecodable.start} is not UTF-8 ({undecodable.reason})")
    return Refusal(DeadLetterReason.NOT_JSON, problems[0]["msg"].removeprefix("Invalid JSON: "))
