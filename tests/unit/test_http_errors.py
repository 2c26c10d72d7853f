"""The shape of errors, and what becomes of what is raised."""

import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from consumer.admission import QueueFullError
from consumer.http.errors import ApiError, as_api_error
from consumer.jobs import ModelGoneError
from consumer.predictor import UnanswerableTextError


def sent(error: Exception) -> tuple[int, dict[str, str], dict[str, Any]]:
    response = as_api_error(error).response()
    return response.status_code, dict(response.headers), json.loads(bytes(response.body))["error"]


@pytest.mark.parametrize(("retry_after_s", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (37.5, "38")])
def test_a_full_queue_says_when_to_come_back_in_whole_seconds(retry_after_s: float, header: str) -> None:
    status, headers, error = sent(QueueFullError(retry_after_s))
    assert (status, headers["retry-after"], error["status"]) == (429, header, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(
    ("raised", "status", "name"),
    [
        (ModelGoneError("secret"), 503, "UNAVAILABLE"),
        (TimeoutError("secret"), 504, "DEADLINE_EXCEEDED"),
        (HTTPException(404, "secret"), 404, "NOT_FOUND"),
        (HTTPException(418, "secret"), 418, "UNKNOWN"),
        (ValueError("secret"), 500, "INTERNAL"),
    ],
)
def test_what_is_raised_has_a_status_and_keeps_what_it_says_to_itself(
    raised: Exception, status: int, name: str
) -> None:
    code, _, error = sent(raised)
    assert (code, error["code"], error["status"]) == (status, status, name)
    assert error["message"]
    assert "secret" not in str(error)


def test_a_text_the_model_fails_on_is_named_by_its_index() -> None:
    assert "index 3: it is too odd" in sent(UnanswerableTextError(3, "it is too odd"))[2]["message"]


def test_headers_of_a_refusal_are_kept() -> None:
    assert sent(HTTPException(405, headers={"Allow": "POST"}))[1]["allow"] == "POST"


def test_details_are_there_only_where_there_are_some() -> None:
    details = [{"@type": "type.googleapis.com/example", "errorType": "COMMENT_EMPTY"}]
    assert sent(ApiError(400, "Say something.", details=details))[2]["details"] == details
    assert sent(ApiError(400, "Say something."))[2].keys() == {"code", "message", "status"}
