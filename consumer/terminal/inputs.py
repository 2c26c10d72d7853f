"""Comments from a person's file as records for the input topic: JSON lines in the input contract, a table with a `text`
column, or plain text, one comment a line."""

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from consumer.files import InputFile, open_input
from consumer.json_bytes import whole_text
from consumer.terminal.printing import say
from schemas.comment import MOST_ID

OPTIONAL_COLUMNS = ("author_id", "thread_id", "language", "created_at")
MOST_DIGITS = len(str(-MOST_ID))


class InputRecord(NamedTuple):
    """One record for the input topic; `key` is the comment's id where the value has one."""

    key: bytes | None
    value: bytes | None
    position_bytes: int


def read_records(path: str) -> Iterator[InputRecord]:
    """The records of a file, or of standard input for `-`, in order; what is packed by gzip is unpacked.

    Says on standard error how the file is read where that is not the usual way. What a line of JSON or of text holds is
    not judged here: a broken one is a broken record, which the consumer turns into a dead letter.
    Raises `FileError`, here where the file cannot be read at all, and at the row of a table that cannot be read.
    """
    return _records(open_input(path, say))


def _records(file: InputFile) -> Iterator[InputRecord]:
    for number, (line, content) in enumerate(file.entries(), 1):
        if isinstance(content, dict):
            # A producer leaves out what it does not know; an empty cell says no more.
            fields = {name: cell for name, cell in content.items() if cell or name not in OPTIONAL_COLUMNS}
            yield _made(fields.pop("id", "") or f"row-{number}", fields, file.position_bytes())
        elif file.kind == "json lines":
            value = content.encode("utf-8", "surrogateescape")
            yield InputRecord(_key(value), value, file.position_bytes())
        else:
            yield _made(f"line-{line}", {"text": content}, file.position_bytes())


def _made(comment_id: str, fields: Mapping[str, object], position: int) -> InputRecord:
    """Bytes that are not UTF-8 stay what they are, so that the consumer sees and reports them."""
    value = json.dumps({"id": comment_id, **fields}, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return InputRecord(comment_id.encode("utf-8", "surrogateescape"), value, position)


class _Digits(str):
    """A JSON integer as it is written; Python reads none of more than 4,300 digits."""


def _key(value: bytes) -> bytes | None:
    try:
        parsed = json.loads(value.decode("utf-8-sig"), parse_int=_Digits)
    except (ValueError, RecursionError):
        return None
    comment_id = parsed.get("id") if isinstance(parsed, dict) else None
    if not isinstance(comment_id, str) or (isinstance(comment_id, _Digits) and len(comment_id) > MOST_DIGITS):
        return None
    if isinstance(comment_id, _Digits):  # -0 is 0
        comment_id = str(int(comment_id))
        if abs(int(comment_id)) > MOST_ID:
            return None
    return whole_text(comment_id).encode()
