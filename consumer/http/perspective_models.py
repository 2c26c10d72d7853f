"""What a Perspective API client sends and gets, field by field as its discovery document has them."""

import re
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import pyjson5
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from consumer.http.errors import ApiError
from consumer.http.perspective_errors import invalid_request, shown
from consumer.json_bytes import (
    BYTE_ORDER_MARK,
    DoubledMemberError,
    parsed,
    refuse_any_doubled,
    with_whole_characters,
)
from schemas import MAX_TEXT_CHARACTERS

ScoreType = Literal["PROBABILITY"]

MAX_TEXT_BYTES = MAX_TEXT_CHARACTERS
"""The original's limit. A character has at least one byte, so nothing that is taken here is cut later."""
MAX_PARTS = 2_000
"""Members of objects and items of lists in one request. 300,000 of them, which fit into 4 MiB, would hold up every
other caller for 1.8 s; 2,000 take 15 ms."""
MAX_JSON5_BYTES = 65_536
"""Far more than a person writes by hand. Programs send JSON, and 4 MiB of anything else would hold up every other
caller for 0.4 s."""

_JSON5_APART = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|//[^\n\r\u2028\u2029]*|/\*.*?\*/""", re.DOTALL)
"""Strings and comments; a colon elsewhere stands behind a name, so that names which stand twice can be counted."""
_strict_json = partial(from_json, allow_inf_nan=False)


class Shape(BaseModel):
    """Field names may come in camel case or as they stand here, and null means absent, as in any JSON for a protocol
    buffer. A name that is not known is refused: a misspelt `doNotStore` must not pass unnoticed."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


S = TypeVar("S", bound=Shape)


class TextEntry(Shape):
    """A text and what it is written in."""

    text: str | None = Field(None, description=f"The text, not empty, of at most {MAX_TEXT_BYTES:,} bytes of UTF-8.")
    type: str | None = Field(None, description="`PLAIN_TEXT`, which is also what is assumed.")


class ArticleAndParentComment(Shape):
    """What a comment was written under."""

    article: TextEntry | None = None
    parent_comment: TextEntry | None = None


class Context(Shape):
    """What was said before; no model here looks at it, and it is not kept."""

    entries: list[TextEntry] | None = None
    article_and_parent_comment: ArticleAndParentComment | None = None


class AttributeParameters(Shape):
    """How to answer for one attribute."""

    score_type: str | None = Field(None, description="`PROBABILITY`, which is also what is assumed.")
    score_threshold: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="Scores below it are left out of the answer."
    )


class AnalyzeRequest(Shape):
    """One comment and what to say about it; only `comment.text` and `requestedAttributes` are needed."""

    comment: TextEntry | None = None
    context: Context | None = None
    requested_attributes: dict[str, AttributeParameters | None] | None = Field(
        None, description="By attribute, `{}` for defaults. The setting PERSPECTIVE_ATTRIBUTES says which there are."
    )
    drop_unsupported_attributes: bool | None = Field(
        None,
        description="Attributes that the model here lacks, or that do not know the comment's language, are left out of "
        "the answer, unless none would be left.",
    )
    span_annotations: bool | None = Field(
        None, description="Changes nothing: there is always one span, which is the whole text."
    )
    languages: list[str] | None = Field(
        None, description="Languages of the comment, such as `en` or `en-GB`. The model must know one of them."
    )
    do_not_store: bool | None = Field(
        None, description="Texts are never stored; with true, neither are the scores under the text's digest."
    )
    client_token: str | None = Field(None, description="Comes back in the answer.")
    session_id: str | None = Field(None, description="Is not looked at.")
    community_id: str | None = Field(None, description="Is not looked at.")


class Score(Shape):
    """How likely an attribute fits."""

    value: float = Field(ge=0.0, le=1.0)
    type: ScoreType = "PROBABILITY"


class SpanScore(Shape):
    """The score of a part of the text; `begin` and `end` count UTF-16 code units, as JavaScript does."""

    begin: int
    end: int
    score: Score


class AttributeScores(Shape):
    """What is said about one attribute."""

    span_scores: list[SpanScore]
    summary_score: Score


class AnalyzeResponse(Shape):
    """The answer; what does not apply is left out."""

    attribute_scores: dict[str, AttributeScores] | None = Field(
        None, description="By attribute. Left out where no score reaches its threshold."
    )
    languages: list[str] | None = Field(None, description="Those of the request; else those detected.")
    detected_languages: list[str] | None = Field(
        None, description="`en`, or `und` for a language that the model does not know; absent where it cannot tell."
    )
    client_token: str | None = None


def parse(body: bytes, shape: type[S]) -> S:
    """Read a request's body, whatever its content type says. Raises `ApiError`, which quotes nothing of it."""
    try:
        return shape.model_validate(_json(body))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    raise _refused(problem["type"], problem["loc"], problem["msg"])


def request_schema(shape: type[Shape]) -> dict[str, Any]:
    """The JSON Schema of `shape` in one piece, for an OpenAPI document that it is written into by hand."""
    schema = shape.model_json_schema()
    definitions = schema.pop("$defs")

    def whole(node: Any) -> Any:
        if isinstance(node, list):
            return [whole(part) for part in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return whole(definitions[node["$ref"].rsplit("/", 1)[1]])
        return {key: whole(value) for key, value in node.items()}

    inlined: dict[str, Any] = whole(schema)
    return inlined


def _json(body: bytes) -> Any:
    """The original also reads names without quotes, and its documentation's curl example has them. JSON5 allows that;
    of its parsers, pyjson5 reads 100 kB in 0.7 ms (json5: 1.2 s) and stops at 32 levels of nesting."""
    try:
        value, body = parsed(_strict_json, body)
    except ValueError:
        pass
    else:
        _check_parts(value)
        _refuse_doubled(body)
        return value
    try:
        text = with_whole_characters(body.removeprefix(BYTE_ORDER_MARK)).decode()
        value = pyjson5.decode(text if len(body) <= MAX_JSON5_BYTES else "")
    except (pyjson5.Json5Exception, UnicodeDecodeError):
        raise invalid_request("The request's body is not JSON; send a JSON object in UTF-8.") from None
    if _check_parts(value) < _JSON5_APART.sub("", text).count(":"):
        raise invalid_request(
            "Invalid JSON payload received. A name stands twice, and readers differ in which of the two counts; send "
            "it once."
        )
    return value


def _check_parts(value: Any) -> int:
    """How many members its objects have. Raises `ApiError` for a request of many parts before anything is made of
    them."""
    left, members = MAX_PARTS, 0
    unseen = [value]
    while unseen:
        node = unseen.pop()
        if isinstance(node, dict | list):
            left -= len(node)
            members += len(node) if isinstance(node, dict) else 0
            if left < 0:
                raise invalid_request(
                    f"The request has more than {MAX_PARTS:,} members and list items; one comment needs a few."
                )
            unseen.extend(node.values() if isinstance(node, dict) else node)
    return members


def _refuse_doubled(body: bytes) -> None:
    try:
        refuse_any_doubled(body)
    except DoubledMemberError as error:
        sentence = str(error).replace(error.name, shown(error.name), 1)
        raise invalid_request(f"Invalid JSON payload received. {sentence}.") from None


def _refused(kind: str, location: tuple[int | str, ...], message: str) -> ApiError:
    place = ".".join(shown(str(part)) for part in location)
    if kind == "extra_forbidden":
        return invalid_request(f"Invalid JSON payload received. Unknown name at '{place}': Cannot find field.")
    message = re.sub("a valid dictionary.*", "an object", message)  # it names our classes
    return invalid_request(f"Invalid value at '{place or 'the whole body'}': {message}.")
