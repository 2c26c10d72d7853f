"""`comments:suggestscore`: from the score that a client thinks right to a correction that can be learned from."""

import asyncio
import hashlib
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Annotated, get_args

from pydantic import Field, ValidationError

from consumer.errors import NotTakenError
from consumer.http.errors import ApiError, readable_problems
from consumer.http.perspective_checks import (
    check_context,
    check_score_type,
    in_languages,
    text_of,
    unknown_attributes,
)
from consumer.http.perspective_errors import invalid_request, unsupported_language
from consumer.http.perspective_models import Context, Shape, TextEntry
from consumer.predictor import Predictor
from schemas import CorrectedLabels, Feedback

FITS_FROM = 0.5
"""The score from which on an attribute fits. Clients send 0 and 1, as the original asks them to."""
CALLER = "perspective"
"""Who corrected, where no community is named; no moderator of a site has a name that begins with it and a colon."""
MAX_COMMUNITY_CHARACTERS = 200
RETRY_S = 5.0
_DIGEST_BYTES = 16

LABELS: dict[str, frozenset[str]] = {
    group: frozenset(label for option in get_args(field.annotation) for label in get_args(option))
    for group, field in CorrectedLabels.model_fields.items()
}
"""The labels that a correction can give, by tag group."""


class SuggestedScore(Shape):
    """How much an attribute should fit."""

    value: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = Field(
        None, description="From 0 to 1; 0.5 and more says that the attribute fits."
    )
    type: str | None = Field(None, description="`PROBABILITY`, which is also what is assumed.")


class SuggestedSpan(Shape):
    """The score of a part of the text, which is not looked at."""

    begin: int | None = None
    end: int | None = None
    score: SuggestedScore | None = None


class SuggestedScores(Shape):
    """What one attribute should have been."""

    summary_score: SuggestedScore | None = Field(None, description="The score of the whole text; it is needed.")
    span_scores: list[SuggestedSpan] | None = Field(None, description="Is not looked at.")


class SuggestRequest(Shape):
    """One comment and the scores it should have had; `comment.text` and `attributeScores` are needed."""

    comment: TextEntry | None = None
    context: Context | None = None
    attribute_scores: dict[str, SuggestedScores | None] | None = Field(
        None, description="By attribute. Together they must give one label of `sentiment`, of `toxicity`, or of both."
    )
    languages: list[str] | None = Field(
        None, description="Languages of the comment, such as `en`. The model must know one of them."
    )
    client_token: str | None = Field(None, description="Comes back in the answer.")
    community_id: str | None = Field(
        None, max_length=MAX_COMMUNITY_CHARACTERS, description="Who corrects; it tells the corrections of two apart."
    )
    session_id: str | None = Field(None, description="Is not looked at.")


class SuggestResponse(Shape):
    """The correction is in Kafka."""

    client_token: str | None = None
    requested_languages: list[str] | None = Field(None, description="The `languages` of the request.")


def correction(
    asked: SuggestRequest, predictor: Predictor, known: Mapping[str, str], *, skip_unknown: bool
) -> Feedback:
    """The correction in a request; `known` are the attributes that have a label, as "group.label". Raises `ApiError`.

    Its comment is named by a digest of the text: many clients send one `clientToken` with everything, and corrections
    of one comment replace each other.
    """
    text = text_of(asked.comment).strip()
    check_context(asked.context)
    scores = asked.attribute_scores or {}
    if not scores:
        raise invalid_request("Missing attribute_scores.")
    labelled = {name: label for name, label in known.items() if name in scores}
    if not labelled or (len(labelled) < len(scores) and not skip_unknown):
        raise unknown_attributes([name for name in scores if name not in known], known)
    supported = in_languages(labelled, asked.languages or [], predictor.languages)
    for name in labelled:
        if name not in supported:
            raise unsupported_language(name, requested=asked.languages or [])
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    try:
        return Feedback(
            comment_id=f"{CALLER}-{digest}",
            text=text,
            labels=CorrectedLabels.model_validate(_labels({name: scores[name] for name in labelled}, labelled)),
            moderator_id=f"{CALLER}:{asked.community_id}" if asked.community_id else CALLER,
            at=datetime.now(UTC),
        )
    except ValidationError as error:  # the contract of corrections asks for more than this request's shape
        raise invalid_request(readable_problems(error.errors(include_url=False, include_input=False))) from None


async def acknowledged(published: "Future[None]", timeout_s: float) -> None:
    """Wait until Kafka has the correction. Raises `ApiError` where it has not, or not within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.wrap_future(published)
    except NotTakenError as error:
        raise ApiError(503, str(error), retry_after_s=RETRY_S) from None
    except TimeoutError:
        raise ApiError(
            503,
            "Kafka has not acknowledged the correction in time; send it again, since a repeat replaces it.",
            retry_after_s=RETRY_S,
        ) from None


def _labels(scores: Mapping[str, SuggestedScores | None], labelled: Mapping[str, str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, given in scores.items():
        summary = given.summary_score if given else None
        if summary is None or summary.value is None:
            raise invalid_request(
                f"Missing summary_score.value of attribute {name}; whole texts are corrected here, with a score from 0 "
                "to 1."
            )
        check_score_type(name, summary.type)
        group, _, label = labelled[name].rpartition(".")
        right = _label(group, label, summary.value)
        if labels.setdefault(group, right) != right:
            raise invalid_request(f"The suggested scores contradict each other: {group} cannot be {right} and not.")
    return labels


def _label(group: str, label: str, value: float) -> str:
    """The label that a score of this value for `label` says is right."""
    labels = LABELS.get(group, frozenset())
    others = labels - {label}
    if label in labels and value >= FITS_FROM:
        return label
    if label in labels and len(others) == 1:
        return next(iter(others))
    correctable = "; ".join(f"{group} ({', '.join(sorted(labels))})" for group, labels in LABELS.items())
    raise invalid_request(
        f"That score of {group}.{label} makes no correction. A correction names one right label of {correctable}: "
        f"suggest a score of at least {FITS_FROM} for it, or below that where there is but one other."
    )
