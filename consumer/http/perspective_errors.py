"""The Perspective API's own errors: its clients look for them in the message, in `errorType` and in the details."""

import re
from collections.abc import Sequence
from typing import Literal

from consumer.http.errors import ApiError

ErrorType = Literal[
    "COMMENT_EMPTY",
    "COMMENT_TOO_LONG",
    "NO_REQUESTED_ATTRIBUTES",
    "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
    "INVALID_REQUEST",
]
"""What clients tell apart; everything else that is wrong with a request is INVALID_REQUEST."""

DETAIL_TYPE = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
MOST_NAMES = 10

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def invalid_request(message: str, error_type: ErrorType = "INVALID_REQUEST", **more: object) -> ApiError:
    """A request that will be refused however often it is sent; `more` goes into the details."""
    return ApiError(400, message, details=[{"@type": DETAIL_TYPE, "errorType": error_type, **more}])


def unsupported_language(attribute: str, *, requested: Sequence[str] = (), detected: Sequence[str] = ()) -> ApiError:
    """The model behind `attribute` knows none of the languages that were `requested` or, if none was, `detected`."""
    languages = [shown(language) for language in list(requested or detected)[:MOST_NAMES]]
    where = "requestedLanguages" if requested else "detectedLanguages"
    return invalid_request(
        f"Attribute {attribute} does not support request languages: {', '.join(languages)}",
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        languageNotSupportedByAttributeError={"attribute": attribute, where: languages},
    )


def shown(name: str) -> str:
    """A name that a caller made up, if it looks like one; an error quotes nothing that could be a comment's text."""
    return name if _NAME.fullmatch(name) else "(not a name)"
