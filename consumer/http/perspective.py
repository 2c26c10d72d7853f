"""The Perspective API's way in: what a site's client has sent to Google can be sent here instead, unchanged."""

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from starlette.types import Scope

from consumer.http.errors import ApiError, ErrorBody
from consumer.http.perspective_analyze import analyzed
from consumer.http.perspective_discovery import discovery_document
from consumer.http.perspective_models import AnalyzeRequest, AnalyzeResponse, Shape, parse, request_schema
from consumer.http.perspective_skipped import skip_log
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

    @router.post(f"{PREFIX}comments:suggestscore", responses={501: {"model": ErrorBody}})
    async def suggest_score() -> Response:
        """Not answered: corrections go to Kafka, where they become training data."""
        raise ApiError(
            501,
            f"Scores cannot be suggested here; write corrections to the Kafka topic {settings.feedback_topic}, from "
            "which `moderate feedback collect` makes training data.",
        )

    @router.get("/$discovery/rest")
    async def discovery(request: Request) -> JSONResponse:
        """What Google's client libraries ask for first; it names this server by the address they asked."""
        secure = request.headers.get("x-forwarded-proto") == "https"  # to the proxy before this server, that is
        address = request.base_url.replace(scheme="https") if secure else request.base_url
        # What one caller said of the address must not reach another from a cache between.
        return JSONResponse(discovery_document(str(address)), headers={"Cache-Control": "no-store"})

    return router


def key_of(scope: Scope) -> bytes:
    """The API key of a request, as clients of the Perspective API send it: `?key=`, or the header `X-Goog-Api-Key`.

    Empty for none, and for the paths of other APIs, so that nobody gets used to a token in a URL, which proxies log.
    """
    if not scope["path"].startswith(PREFIX):
        return b""
    header: bytes = dict(scope["headers"]).get(b"x-goog-api-key", b"")
    return header or parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0].encode()


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
