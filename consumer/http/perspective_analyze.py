"""The scores of one comment: from the Perspective API's request to its answer."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from consumer.http.perspective_checks import (
    check_context,
    check_score_type,
    group_of,
    in_languages,
    text_of,
    unknown_attributes,
)
from consumer.http.perspective_errors import invalid_request, unsupported_language
from consumer.http.perspective_models import (
    AnalyzeRequest,
    AnalyzeResponse,
    AttributeParameters,
    AttributeScores,
    Score,
    SpanScore,
)
from consumer.policy import DEFAULT_REVIEW
from consumer.predictor import Predictor, UnanswerableTextError
from schemas import Prediction

OTHER_LANGUAGE = "language.other"
"""Only a model that knows nothing but English has this label."""
OTHER_LANGUAGE_FROM = DEFAULT_REVIEW[OTHER_LANGUAGE]
UNDETERMINED = "und"
"""BCP 47's word for a language of which no more is known; here, than that it is not English."""


class Analyzed(NamedTuple):
    """The answer, what it was made of, and the attributes that it leaves out because they have no label."""

    answer: AnalyzeResponse
    prediction: Prediction
    skipped: Sequence[str]


async def analyzed(
    asked: AnalyzeRequest, predictor: Predictor, known: Mapping[str, str], *, timeout_s: float, skip_unknown: bool
) -> Analyzed:
    """Answer a request; `known` are the attributes that have a label, as "group.label". Raises `ApiError`, or what
    `Predictor.predict` raises.

    The language is looked at as the original does: the requested ones count where there are any, else the detected one.
    An attribute without a label is left out with `skip_unknown`, or where the request drops what is not supported. A
    request of which nothing is left is refused all the same: to clients an answer without scores says that all of them
    are below their thresholds.
    """
    text = text_of(asked.comment)
    drop = bool(asked.drop_unsupported_attributes)
    requested = {name: given or AttributeParameters() for name, given in (asked.requested_attributes or {}).items()}
    wanted = _wanted(requested, known, skip=skip_unknown or drop)
    check_context(asked.context)
    languages = asked.languages or []
    wanted = _kept(wanted, in_languages(wanted, languages, predictor.languages), drop=drop, requested=languages)
    try:
        [prediction] = await predictor.predict([text], timeout_s, keep=not asked.do_not_store)
    except UnanswerableTextError as error:
        raise invalid_request(f"The model cannot answer this comment: {error.detail}.") from None
    detected = [_language_of(prediction)] if OTHER_LANGUAGE in predictor.labels else []
    if not languages and UNDETERMINED in detected:
        others = {name for name, label in wanted.items() if not _is_english(predictor.languages, label)}
        wanted = _kept(wanted, others, drop=drop, detected=detected)
    answer = AnalyzeResponse(
        attribute_scores=_scores(wanted, requested, prediction, text) or None,
        languages=languages or detected or None,
        detected_languages=detected or None,
        client_token=asked.client_token,
    )
    return Analyzed(answer, prediction, [name for name in requested if name not in known])


def _wanted(requested: Mapping[str, AttributeParameters], known: Mapping[str, str], *, skip: bool) -> dict[str, str]:
    """The requested attributes with their labels, in the order of the request; at least one."""
    if not requested:
        raise invalid_request("Missing requested_attributes.", "NO_REQUESTED_ATTRIBUTES")
    wanted = {name: known[name] for name in requested if name in known}
    if not wanted or (len(wanted) < len(requested) and not skip):
        raise unknown_attributes([name for name in requested if name not in known], known)
    for name in wanted:
        check_score_type(name, requested[name].score_type)
    return wanted


def _kept(
    wanted: Mapping[str, str],
    supported: Collection[str],
    *,
    drop: bool,
    requested: Sequence[str] = (),
    detected: Sequence[str] = (),
) -> dict[str, str]:
    """Those of the attributes that are `supported` in these languages; at least one, and all unless others may `drop`
    out."""
    kept = {name: label for name, label in wanted.items() if name in supported}
    if not kept or (len(kept) < len(wanted) and not drop):
        missing = next(name for name in wanted if name not in supported)
        raise unsupported_language(missing, requested=requested, detected=detected)
    return kept


def _is_english(declared: Mapping[str, Sequence[str]], label: str) -> bool:
    """Whether the model behind `label` knows English alone, so that it cannot answer what is not English."""
    return list(declared.get(group_of(label), ())) == ["en"]


def _language_of(prediction: Prediction) -> str:
    return UNDETERMINED if _score(prediction, OTHER_LANGUAGE) >= OTHER_LANGUAGE_FROM else "en"


def _scores(
    wanted: Mapping[str, str], requested: Mapping[str, AttributeParameters], prediction: Prediction, text: str
) -> dict[str, AttributeScores]:
    """The scores that are not below their thresholds. The original gives a span without being asked, and clients read
    it; the model scores whole texts, so it is the whole text."""
    end = len(text.encode("utf-16-le", "surrogatepass")) // 2
    scores = {}
    for name, label in wanted.items():
        score = Score(value=_score(prediction, label))
        if score.value >= (requested[name].score_threshold or 0.0):
            spans = [SpanScore(begin=0, end=end, score=score)]
            scores[name] = AttributeScores(span_scores=spans, summary_score=score)
    return scores


def _score(prediction: Prediction, label: str) -> float:
    group, _, name = label.rpartition(".")
    return prediction.tags[group].scores[name]
