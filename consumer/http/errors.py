"""The one shape of every error by HTTP: Google's (AIP-193), because callers of the Perspective API know it already."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from consumer.admission import QueueFullError
from consumer.jobs import ModelGoneError
from consumer.predictor import UnanswerableTextError

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
HTTP_SENTENCES = {
    404: "There is nothing at this path; GET /docs lists what there is.",
    405: "This path does not take this method; the header Allow lists those that it takes.",
}
MODEL_RETRY_S = 5.0
"""When to come back to a process without a model: loading takes seconds, and so does replacing the process."""
MOST_PROBLEMS = 3
"""The 256 texts of one request may have 256 problems; a person mends the first ones and tries again."""


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: int = Field(description="The HTTP status.")
    message: str = Field(description="What happened and what to do, for a person; it never quotes a text.")
    status: str = Field(description="The kind of error, for a program: `RESOURCE_EXHAUSTED`, `UNAVAILABLE`, …")
    details: list[dict[str, Any]] = Field(default=[], description='More about it: objects with an "@type".')


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ApiError(Exception):
    """Ends a request with an error."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        details: Sequence[dict[str, Any]] = (),
    ) -> None:
        """`code` is an HTTP status; another try is worth it after `retry_after_s`, told in whole seconds."""
        super().__init__(code)
        self.code = code
        self._headers = dict(headers or {})
        if retry_after_s is not None:
            self._headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        detail = ErrorDetail(
            code=code, message=message, status=STATUS_NAMES.get(code, "UNKNOWN"), details=list(details)
        )
        self._body = ErrorBody(error=detail).model_dump(exclude_defaults=True)

    def response(self) -> JSONResponse:
        """The answer to send."""
        return JSONResponse(self._body, self.code, self._headers)


def as_api_error(error: Exception) -> ApiError:
    """The answer for what `Predictor.predict` raises, and for what FastAPI refuses."""
    match error:
        case ApiError():
            return error
        case QueueFullError():
            return ApiError(429, "Too many texts wait already; try again later.", retry_after_s=error.retry_after_s)
        case ModelGoneError():
            return ApiError(503, "The model is gone and this process is ending.", retry_after_s=MODEL_RETRY_S)
        case TimeoutError():
            return ApiError(504, "The texts were not classified in time; send fewer at once, or try again later.")
        case UnanswerableTextError():
            return ApiError(422, f"The model cannot answer the text at index {error.index}: {error.detail}.")
        case RequestValidationError():
            return ApiError(422, readable_problems(error.errors()))
        case HTTPException():
            sentence = HTTP_SENTENCES.get(error.status_code, "The request cannot be answered.")
            return ApiError(error.status_code, sentence, headers=error.headers)
        case _:
            return ApiError(500, "This is a fault of the server; its log says where.")


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    return as_api_error(error).response()


def answer_errors(app: FastAPI) -> None:
    """Let the expected errors of every route of `app` come out in this shape; others are bugs, and pass."""
    kinds: list[type[Exception]] = [ApiError, QueueFullError, ModelGoneError, TimeoutError, UnanswerableTextError]
    for kind in [*kinds, RequestValidationError, HTTPException]:
        app.add_exception_handler(kind, _answer)


def readable_problems(problems: Iterable[Mapping[str, Any]]) -> str:
    """What pydantic found, one sentence each, without what was sent: `texts[3]: String should …`."""
    sentences = [
        f"{_place(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}."
        for problem in islice(problems, MOST_PROBLEMS)
    ]
    return " ".join(sentences)


def _place(location: Sequence[str | int]) -> str:
    parts = (
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part not in ("body", "header")
    )
    return "".join(parts).lstrip(".") or "The request"
