"""`POST /predict`: texts in, the tags and the decision that the stream would give them out."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from consumer.http.errors import MODEL_RETRY_S, ApiError, ErrorBody, readable_problems
from consumer.json_bytes import DoubledMemberError, Once, parsed
from consumer.predictor import Predictor
from consumer.services import Services
from consumer.settings import Settings
from schemas import Prediction
from schemas.comment import Text
from schemas.tagged import EXAMPLE_TAGGED

MAX_TEXTS = 256
JSON = "application/json"
SMALL_BODY_BYTES = 65_536

_ONCE = Once("text", "texts")

TimeoutHeader = Annotated[
    int, Header(alias="X-Request-Timeout-Ms", ge=1, description="Milliseconds to wait, at most HTTP_TIMEOUT_MS.")
]

_ONE_OF_BOTH: dict[str, JsonValue] = {
    "oneOf": [
        {"required": ["text"], "properties": {"text": {"type": "string"}}},
        {"required": ["texts"], "properties": {"texts": {"type": "array"}}},
    ]
}
_EXAMPLE: dict[str, JsonValue] = {name: EXAMPLE_TAGGED[name] for name in Prediction.model_fields}


class PredictRequest(BaseModel):
    """One text as `text`, or up to 256 as `texts`; other fields are ignored, so a comment can be sent as it is."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra=_ONE_OF_BOTH | {"examples": [{"text": "Lovely!"}, {"texts": ["Lovely!", "You are awful."]}]},
    )

    text: Text | None = None
    texts: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either `text` or `texts`")
        return self


class PredictResponse(BaseModel):
    """One prediction per text, in the order of the texts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"predictions": [_EXAMPLE]}]})

    predictions: list[Prediction]


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A header came twice, or the body is no sound gzip."},
    401: {"model": ErrorBody, "description": "The token is missing or wrong."},
    403: {
        "model": ErrorBody,
        "description": "The server has no token, and the caller may be another machine, or a web page of one.",
    },
    408: {"model": ErrorBody, "description": "The body came too slowly."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    415: {"model": ErrorBody, "description": "The body's Content-Encoding is neither gzip nor identity."},
    422: {"model": ErrorBody, "description": "The body or a header is not as described, or the model fails on a text."},
    429: {"model": ErrorBody, "description": "Too much waits already; the header `Retry-After` says when to return."},
    500: {"model": ErrorBody, "description": "A fault of the server."},
    503: {"model": ErrorBody, "description": "The model is not there; the header `Retry-After` says when to return."},
    504: {"model": ErrorBody, "description": "The texts were not classified in time."},
}
"""What every route that takes texts may answer besides 200."""


def predict_router(settings: Settings, services: Services) -> APIRouter:
    """The route; it answers as soon as `services.predictor` is there."""
    router = APIRouter()
    asked_schema = PredictRequest.model_json_schema()

    @router.post(
        "/predict",
        summary="Tag texts and decide what becomes of them",
        response_model=PredictResponse,
        responses=ERRORS,
        openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": asked_schema}}}},
    )
    async def predict(request: Request, timeout_ms: TimeoutHeader = settings.http_timeout_ms) -> Response:
        """Say of texts what the stream would say of comments: tags, decision, and where both come from.

        Nothing is stored or published. Texts of concurrent callers are classified together, and a text that the stream
        or another caller has had is answered from the cache.
        """
        body = await request.body()
        # A large body is read beside the other callers.
        texts = texts_of(body) if len(body) <= SMALL_BODY_BYTES else await asyncio.to_thread(texts_of, body)
        timeout_s = min(timeout_ms, settings.http_timeout_ms) / 1000
        predictions = await predictions_for(services, texts, timeout_s)
        # To bytes at once: FastAPI would validate and convert once more what is valid already.
        return Response(PredictResponse(predictions=predictions).model_dump_json(), media_type=JSON)

    return router


def texts_of(body: bytes) -> list[str]:
    """The texts in a request, whatever its Content-Type: `curl -d` sends another one. Raises `ApiError`."""
    try:
        asked, body = parsed(PredictRequest.model_validate_json, body)
        _ONCE.check(body)
    except ValidationError as error:
        raise ApiError(422, readable_problems(error.errors(include_input=False, include_url=False))) from None
    except DoubledMemberError as error:
        raise ApiError(422, f"{error}.") from None
    return [asked.text] if asked.text is not None else asked.texts or []


def ready_predictor(services: Services) -> Predictor:
    """What answers. Raises `ApiError` while the model is being loaded."""
    if services.predictor is None:
        raise ApiError(503, "The model is still being loaded; try again shortly.", retry_after_s=MODEL_RETRY_S)
    return services.predictor


async def predictions_for(services: Services, texts: Sequence[str], timeout_s: float) -> list[Prediction]:
    """One prediction per text, in order, and counted. Raises what `Predictor.predict` does, or `ApiError`."""
    predictions = await ready_predictor(services).predict(texts, timeout_s)
    services.metrics.http_texts(prediction.answered_by for prediction in predictions)
    return predictions
