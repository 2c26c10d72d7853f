"""The Perspective API's way in: what a site's client has sent to Google can be sent here instead, unchanged."""

from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from starlette.types import Scope

from consumer.http.errors import ApiError, ErrorBody
from consumer.http.perspective_discovery import discovery_document
from consumer.http.perspective_errors import invalid_request, shown, unsupported_language
from consumer.http.perspective_models import (
    AnalyzeRequest,
    AnalyzeResponse,
    AttributeScores,
    Score,
    SpanScore,
    TextEntry,
    parse,
    request_schema,
)
from consumer.http.predict import ERRORS, JSON, ready_predictor
from consumer.policy import DEFAULT_REVIEW
from consumer.predictor import Predictor, UnanswerableTextError
from consumer.services import Services
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from schemas import MAX_TEXT_CHARACTERS, Prediction

PREFIX = "/v1alpha1/"

OTHER_LANGUAGE = "language.other"
"""Only a model that knows nothing but English has this label."""
OTHER_LANGUAGE_FROM = DEFAULT_REVIEW[OTHER_LANGUAGE]
UNDETERMINED = "und"
"""BCP 47's word for a language of which no more is known; here, than that it is not English."""

UNSET_TYPES = (None, "", "TEXT_TYPE_UNSPECIFIED", "SCORE_TYPE_UNSPECIFIED")


class Wanted(NamedTuple):
    """One requested attribute: which of the model's scores answers it ("group.label"), and from which value on."""

    name: str
    label: str
    threshold: float


def perspective_router(settings: Settings, services: Services) -> APIRouter:
    """The routes `comments:analyze` and `comments:suggestscore`, and the document from which Google's client libraries
    learn of them. Who may send how much is looked at before a request comes here."""
    router = APIRouter(tags=["Perspective API"])

    @router.post(
        f"{PREFIX}comments:analyze",
        responses={
            200: {"model": AnalyzeResponse},
            400: {"model": ErrorBody, "description": "The request cannot be answered; `details` say why."},
            **{code: error for code, error in ERRORS.items() if code != 422},
        },
        openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": request_schema()}}}},
    )
    async def analyze(request: Request) -> Response:
        """Score one comment, in the shapes of the Perspective API, its errors included."""
        asked = parse(await request.body())
        answer, prediction = await analyzed(asked, ready_predictor(services), settings)
        services.metrics.http_texts([prediction.answered_by])
        return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)

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


async def analyzed(
    asked: AnalyzeRequest, predictor: Predictor, settings: Settings
) -> tuple[AnalyzeResponse, Prediction]:
    """The answer, and what it was made of. Raises `ApiError`, or what `Predictor.predict` raises.

    The language is looked at as the original does: the requested ones count where there are any, else the detected one.
    """
    text = _text_of(asked.comment or TextEntry())
    wanted = _wanted_of(asked, attributes_of(settings, predictor.labels))
    _check_context(asked)
    english_only = OTHER_LANGUAGE in predictor.labels
    if english_only and asked.languages and not any(map(_is_english, asked.languages)):
        raise unsupported_language(wanted[0].name, requested=asked.languages)
    try:
        [prediction] = await predictor.predict([text], settings.http_timeout_ms / 1000, keep=not asked.do_not_store)
    except UnanswerableTextError as error:
        raise invalid_request(f"The model cannot answer this comment: {error.detail}.") from None
    detected = [_language_of(prediction)] if english_only else None
    if detected == [UNDETERMINED] and not asked.languages:
        raise unsupported_language(wanted[0].name, detected=detected)
    answer = AnalyzeResponse(
        attribute_scores=_scores(wanted, prediction, text) or None,
        languages=asked.languages or detected,
        detected_languages=detected,
        client_token=asked.client_token,
    )
    return answer, prediction


def _text_of(comment: TextEntry) -> str:
    text = comment.text or ""
    if not text.strip():
        raise invalid_request("Comment must be non-empty.", "COMMENT_EMPTY")
    if len(text.strip()) > MAX_TEXT_CHARACTERS:
        raise invalid_request(
            f"Comment text too long. At most {MAX_TEXT_CHARACTERS:,} characters are read here.", "COMMENT_TOO_LONG"
        )
    if comment.type == "HTML":
        raise invalid_request("Currently, only 'PLAIN_TEXT' comments are supported; send the text without its tags.")
    if comment.type not in (*UNSET_TYPES, "PLAIN_TEXT"):
        raise invalid_request("Unknown text type; send PLAIN_TEXT.")
    return text


def _wanted_of(asked: AnalyzeRequest, known: Mapping[str, str]) -> list[Wanted]:
    """The requested attributes, in the order of the request; at least one."""
    wanted = []
    for name, parameters in (asked.requested_attributes or {}).items():
        if name not in known:
            raise invalid_request(
                f"Unknown requested attribute: {shown(name)}; the model here answers {', '.join(known) or 'none'} "
                "(the setting PERSPECTIVE_ATTRIBUTES maps attributes to its labels)."
            )
        if parameters.score_type not in (*UNSET_TYPES, "PROBABILITY"):
            kind = shown(parameters.score_type or "")
            raise invalid_request(
                f"Requested score type {kind} is not supported by attribute {name}; ask for PROBABILITY."
            )
        wanted.append(Wanted(name, known[name], parameters.score_threshold or 0.0))
    if not wanted:
        raise invalid_request("Missing requested_attributes.", "NO_REQUESTED_ATTRIBUTES")
    return wanted


def _check_context(asked: AnalyzeRequest) -> None:
    if asked.context and asked.context.entries and asked.context.article_and_parent_comment:
        raise invalid_request(
            "Context can have either entries or article_and_parent_comment, but both fields were populated."
        )


def _is_english(language: str) -> bool:
    return language.replace("_", "-").partition("-")[0].lower() == "en"


def _language_of(prediction: Prediction) -> str:
    return UNDETERMINED if _score(prediction, OTHER_LANGUAGE) >= OTHER_LANGUAGE_FROM else "en"


def _scores(wanted: list[Wanted], prediction: Prediction, text: str) -> dict[str, AttributeScores]:
    """The scores that are not below their thresholds. The original gives a span without being asked, and clients read
    it; the model scores whole texts, so it is the whole text."""
    end = len(text.encode("utf-16-le")) // 2
    scores = {}
    for attribute in wanted:
        score = Score(value=_score(prediction, attribute.label))
        if score.value >= attribute.threshold:
            spans = [SpanScore(begin=0, end=end, score=score)]
            scores[attribute.name] = AttributeScores(span_scores=spans, summary_score=score)
    return scores


def _score(prediction: Prediction, label: str) -> float:
    group, _, name = label.rpartition(".")
    return prediction.tags[group].scores[name]
