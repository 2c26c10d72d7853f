"""The Perspective API's way in: what a site's client has sent to Google can be sent here instead, unchanged."""

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from starlette.types import Scope

from consumer.http.errors import ApiError, ErrorBody
from consumer.http.outside import outside_url
from consumer.http.perspective_analyze import analyzed
from consumer.http.perspective_discovery import discovery_document
from consumer.http.perspective_models import AnalyzeRequest, AnalyzeResponse, Shape, parse, request_schema
from consumer.http.perspective_skipped import skip_log
from consumer.http.perspective_suggestion import SuggestRequest, SuggestResponse, acknowledged, correction
from consumer.http.predict import ERRORS, JSON, ready_predictor
from consumer.services import Services
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError

PREFIX = "/v1alpha1/"
COMMON_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request cannot be answered; `details` say why."},
    **{code: error for code, error in ERRORS.items() if code != 422},
}


def perspective_router(settings: Settings, services: Services) -> APIRouter:
    """The routes `comments:analyze` and `comments:suggestscore`, and the document from which Google's client libraries
    learn of them. Who may send how much is looked at before a request comes here."""
    router = APIRouter(tags=["Perspective API"])

    timeout_s = settings.http_timeout_ms / 1000
    skipped = skip_log()

    @router.post(
        f"{PREFIX}comments:analyze",
        responses={200: {"model": AnalyzeResponse}, **COMMON_ERRORS},
        openapi_extra=_body_of(AnalyzeRequest),
    )
    async def analyze(request: Request) -> Response:
        """Score one comment, in the shapes of the Perspective API, its errors included."""
        asked = parse(await request.body(), AnalyzeRequest)
        predictor = ready_predictor(services)
        known = attributes_of(settings, predictor.labels)
        found = await analyzed(
            asked, predictor, known, timeout_s=timeout_s, skip_unknown=settings.perspective_skip_unknown
        )
        services.metrics.http_texts([found.prediction.answered_by])
        skipped(found.skipped)
        return _answer(found.answer)

    @router.post(
        f"{PREFIX}comments:suggestscore",
        responses={
            200: {"model": SuggestResponse},
            **COMMON_ERRORS,
            501: {"model": ErrorBody, "description": "This server has no Kafka (`moderate serve`)."},
            503: {"model": ErrorBody, "description": "The model is not there, or Kafka did not take the correction."},
        },
        openapi_extra=_body_of(SuggestRequest),
    )
    async def suggest_score(request: Request) -> Response:
        """Publish the right score of one comment as a correction, which can be learned from.

        The answer comes when Kafka has acknowledged it. A score of 0.5 or more says that the attribute's label fits.
        """
        predictor = ready_predictor(services)
        if services.publish_feedback is None:
            raise ApiError(
                501,
                "Scores cannot be suggested here: corrections go to Kafka, and this server has none. Send them to a "
                "member of the stream (moderate run with HTTP_PORT), or write them to the Kafka topic "
                f"{settings.feedback_topic}, from which `moderate feedback collect` makes training data.",
            )
        asked = parse(await request.body(), SuggestRequest)
        known = attributes_of(settings, predictor.labels)
        feedback = correction(asked, predictor, known, skip_unknown=settings.perspective_skip_unknown)
        await acknowledged(services.publish_feedback(feedback), timeout_s)
        return _answer(SuggestResponse(client_token=asked.client_token, requested_languages=asked.languages or None))

    @router.get("/$discovery/rest")
    async def discovery(request: Request) -> JSONResponse:
        """What Google's client libraries ask for first; it names this server by the address they asked."""
        # What one caller said of the address must not reach another from a cache between.
        return JSONResponse(discovery_document(outside_url(request)), headers={"Cache-Control": "no-store"})

    return router


def key_of(scope: Scope) -> bytes:
    """The API key of a request, as clients of the Perspective API send it: `?key=`, or the header `X-Goog-Api-Key`.

    Empty for none, and for the paths of other APIs, so that nobody gets used to a token in a URL, which proxies log.
    Raises `ApiError` where the URL has two.
    """
    if not scope["path"].startswith(PREFIX):
        return b""
    header: bytes = dict(scope["headers"]).get(b"x-goog-api-key", b"")
    keys = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "key"]
    if len(keys) > 1:
        raise ApiError(400, "The URL has `key` twice; send it once.")
    return header or "".join(keys).encode()


def attributes_of(settings: Settings, labels: Collection[str]) -> dict[str, str]:
    """The attributes that the loaded model answers, each with its "group.label".

    Raises `SettingsError` when PERSPECTIVE_ATTRIBUTES was set and names a label that is not among `labels`; its default
    yields where the model has no such label.
    """
    unknown = {name: label for name, label in settings.perspective_attributes.items() if label not in labels}
    if unknown and "perspective_attributes" in settings.model_fields_set:
        name, label = next(iter(unknown.items()))
        raise SettingsError(
            f"PERSPECTIVE_ATTRIBUTES maps {name} to {label}, but the model's labels are {', '.join(sorted(labels))}; "
            "correct or remove it."
        )
    return {name: label for name, label in settings.perspective_attributes.items() if name not in unknown}


def _body_of(shape: type[Shape]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {JSON: {"schema": request_schema(shape)}}}}


def _answer(answer: Shape) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)
