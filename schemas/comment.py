"""The input event: one comment, as a producer sends it."""

import re
from datetime import datetime
from types import NoneType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, JsonValue, StringConstraints
from pydantic_core import core_schema

from schemas.timestamp import Timestamp

MAX_TEXT_CHARACTERS = 20_480
"""So many of a text's characters are cleaned and judged. A longer text is no fault: its event says `truncated`."""
MAX_ID_CHARACTERS = 256
MOST_ID = 10**20 - 1
"""The largest number that is taken for an id: 20 digits, which every unsigned 64-bit number fits into."""

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
_MAX_LANGUAGE_CHARACTERS = 35

_ID_SCHEMA = core_schema.custom_error_schema(
    core_schema.union_schema(
        [
            core_schema.str_schema(min_length=1, max_length=MAX_ID_CHARACTERS, strict=True),
            core_schema.no_info_after_validator_function(
                str, core_schema.int_schema(ge=-MOST_ID, le=MOST_ID, strict=True)
            ),
        ],
        mode="left_to_right",
    ),
    custom_error_type="comment_id",
    custom_error_message="Input should be a string of 1 to 256 characters, or an integer of at most 20 digits",
)

Id = Annotated[str, GetPydanticSchema(lambda _source, _handler: _ID_SCHEMA)]
"""What somebody's program calls something: a string, or an integer that stands for its digits."""
CommentId = Annotated[
    Id,
    Field(
        description="The producer's name for the comment: 1 to 256 characters. An integer of at most 20 digits stands "
        "for its digits. It is the Kafka key of every event about the comment where the producer set no key."
    ),
]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    Field(
        description=f"What the person wrote. Of a longer text the first {MAX_TEXT_CHARACTERS:,} characters are judged; "
        "towards these a run of blanks counts as one, and a run of characters that nobody sees as none.",
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


def _decoration(form: Any) -> GetPydanticSchema:
    """A field whose value is parsed as `form` where it fits, and kept as it came where it does not."""
    return GetPydanticSchema(
        lambda _source, handler: core_schema.union_schema(
            [handler.generate_schema(form), core_schema.any_schema()], mode="left_to_right"
        )
    )


class CommentFields(BaseModel):
    """What a producer may send along with a comment. These fields decorate it and never refuse it: a value in another
    form than described travels on as it came, and so do unknown fields."""

    # Strict: a number where a string belongs is a fault of the producer, to be seen and not to be guessed at.
    # Hidden input: an error's message may reach a log, a comment's text may not.
    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)

    author_id: Annotated[JsonValue, _decoration(str | None)] = Field(
        default=None, description="Who wrote it, as a string."
    )
    thread_id: Annotated[JsonValue, _decoration(str | None)] = Field(
        default=None, description="The thread, article or video it was written under, as a string."
    )
    language: Annotated[JsonValue, _decoration(str | None)] = Field(
        default=None, description="Its language as a BCP 47 tag, for example `en` or `pt-BR`."
    )
    created_at: Annotated[datetime | JsonValue, _decoration(Timestamp | None)] = Field(
        default=None, description="When it was written: RFC 3339 with an offset, for example 2026-03-01T09:30:00Z."
    )
    metadata: Annotated[JsonValue, _decoration(dict[str, Any] | None)] = Field(
        default=None,
        description="Anything else the producer wants to find again in the tagged event, as an object.",
    )


class Comment(CommentFields):
    """One comment to be tagged: the value of a record on the input topic. Only `id` and `text` can make it a dead
    letter, and each of them may stand in it once."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_COMMENT]})

    id: CommentId
    text: Text


def misfits(comment: CommentFields) -> list[str]:
    """The names of the decorations that came in another form than described."""
    if len(comment.model_fields_set) == 2:  # nothing but what it must have
        return []
    found = [name for name, kinds in _DECORATIONS if not isinstance(getattr(comment, name), kinds)]
    language = comment.language
    if isinstance(language, str) and not (len(language) <= _MAX_LANGUAGE_CHARACTERS and _LANGUAGE.fullmatch(language)):
        found.append("language")
    return found


_DECORATIONS = (
    ("author_id", (str, NoneType)),
    ("thread_id", (str, NoneType)),
    ("language", (str, NoneType)),
    ("created_at", (datetime, NoneType)),
    ("metadata", (dict, NoneType)),
)
DECORATION_NAMES = tuple(name for name, _ in _DECORATIONS)
