"""`comments:suggestscore`: which scores become a correction, which are refused, and what a caller waits for."""

import asyncio
import json
from concurrent.futures import Future
from typing import Any

import pytest

from consumer.errors import NotTakenError
from consumer.http.errors import ApiError
from consumer.http.perspective import attributes_of
from consumer.http.perspective_models import MAX_TEXT_BYTES, parse
from consumer.http.perspective_suggestion import SuggestRequest, acknowledged, correction
from consumer.settings import Settings
from schemas import Feedback
from tests.fakes import TAG_GROUPS, DictCache, WordEngine
from tests.perspective import error_of, error_type, predicting

CORAL = {
    "comment": {"text": "Oi, tudo bem?"},
    "context": {
        "entries": [{"text": '{"url":"https://site.example/story?commentID=e53cbeba","Coral_comment_id":"e53cbeba"}'}]
    },
    "attributeScores": {"TOXICITY": {"summaryScore": {"value": 0}}},
    "languages": ["en"],
    "communityId": "Coral:http://localhost:8080/",
    "clientToken": "comment:e53cbeba-796b-4930-b16e-1f1a8ad20766",
}
MAPPED = {"TOXICITY": "toxicity.toxic", "CLEAN": "toxicity.clean", "SAD": "sentiment.negative"}


def suggest(body: dict[str, Any], **settings: Any) -> Feedback:
    given = Settings(**({"perspective_attributes": MAPPED} | settings))
    with predicting(WordEngine(), TAG_GROUPS, DictCache(), {"toxicity": ["en"], "sentiment": ["en"]}) as predictor:
        known = attributes_of(given, predictor.labels)
        asked = parse(json.dumps(body).encode(), SuggestRequest)
        return correction(asked, predictor, known, skip_unknown=given.perspective_skip_unknown)


def refused(body: dict[str, Any], **settings: Any) -> dict[str, Any]:
    with pytest.raises(ApiError) as raised:
        suggest(body, **settings)
    return error_of(raised.value)


def suggesting(text: str = "you fool", /, **scores: Any) -> dict[str, Any]:
    return {
        "comment": {"text": text},
        "attributeScores": {name: {"summaryScore": {"value": value}} for name, value in scores.items()},
    }


def labels(feedback: Feedback) -> dict[str, str]:
    found: dict[str, str] = feedback.labels.model_dump(exclude_none=True)
    return found


def test_what_coral_sends_when_a_moderator_approves_becomes_a_correction() -> None:
    feedback = suggest(CORAL)
    assert (feedback.text, labels(feedback)) == ("Oi, tudo bem?", {"toxicity": "clean"})
    assert feedback.moderator_id == "perspective:Coral:http://localhost:8080/"


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ({"TOXICITY": 1}, {"toxicity": "toxic"}),
        ({"TOXICITY": 0.5}, {"toxicity": "toxic"}),
        ({"TOXICITY": 0.49}, {"toxicity": "clean"}),
        ({"CLEAN": 0}, {"toxicity": "toxic"}),
        ({"SAD": 0.9, "TOXICITY": 0}, {"sentiment": "negative", "toxicity": "clean"}),
        ({"CLEAN": 0, "TOXICITY": 1}, {"toxicity": "toxic"}),
    ],
)
def test_a_score_says_which_label_is_right(scores: dict[str, float], right: dict[str, str]) -> None:
    assert labels(suggest(suggesting(**scores))) == right


def test_corrections_of_one_text_are_of_one_comment_and_those_of_two_never() -> None:
    """Clients send one token with everything, and the last correction of a comment replaces those before."""
    first, again, other = (
        suggest(suggesting(text, TOXICITY=1) | {"clientToken": "the-client"})
        for text in ("you fool", " you fool\n", "you fools")
    )
    assert first.comment_id == again.comment_id != other.comment_id
    assert (first.moderator_id, again.text) == ("perspective", "you fool")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"comment": {"text": "x"}}, "Missing attribute_scores."),
        ({"comment": {"text": "x"}, "attributeScores": {}}, "Missing attribute_scores."),
        (suggesting(TOXICITY=None), "Missing summary_score.value of attribute TOXICITY"),
        ({"comment": {"text": "x"}, "attributeScores": {"TOXICITY": None}}, "Missing summary_score.value"),
        (
            {
                "comment": {"text": "x"},
                "attributeScores": {"TOXICITY": {"spanScores": [{"begin": 0, "end": 1, "score": {"value": 1}}]}},
            },
            "Missing summary_score.value",
        ),
        (suggesting(TOXICITY=1.01), "Invalid value at 'attributeScores.TOXICITY.summaryScore.value'"),
        (suggesting(TOXICITY=-0.1), "Invalid value at 'attributeScores.TOXICITY.summaryScore.value'"),
        (suggesting(TOXICITY=1e308 * 10), "Invalid value at 'attributeScores.TOXICITY.summaryScore.value'"),
        (suggesting(TOXICITY=True), "Invalid value at 'attributeScores.TOXICITY.summaryScore.value'"),
        (suggesting(SAD=0.2), "That score of sentiment.negative makes no correction."),
        (suggesting(THREAT=1), "Unknown requested attribute: THREAT"),
        (suggesting(THREAT=1, TOXICITY=1), "Unknown requested attribute: THREAT"),
        (suggesting(CLEAN=1, TOXICITY=1), "The suggested scores contradict each other"),
        (suggesting(TOXICITY=1) | {"comment": {"text": "x", "type": "HTML"}}, "Currently, only 'PLAIN_TEXT'"),
        (suggesting(TOXICITY=1) | {"communityId": "c" * 201}, "Invalid value at 'communityId'"),
        (suggesting(TOXICITY=1) | {"comentId": "x"}, "Invalid JSON payload received. Unknown name at 'comentId'"),
        (
            {
                "comment": {"text": "x"},
                "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1, "type": "PERCENTILE"}}},
            },
            "Requested score type PERCENTILE is not supported by attribute TOXICITY",
        ),
        (
            suggesting(TOXICITY=1)
            | {"context": {"entries": [{"text": "a"}], "articleAndParentComment": {"article": {"text": "b"}}}},
            "Context can have either entries or",
        ),
    ],
)
def test_what_names_no_right_label_is_refused_with_the_reason(body: dict[str, Any], message: str) -> None:
    error = refused(body)
    assert error_type(error) == "INVALID_REQUEST"
    assert error["message"].startswith(message)


def test_a_label_that_corrections_do_not_know_is_refused_with_those_they_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.http.perspective_suggestion.LABELS", {"sentiment": frozenset({"negative", "fine"})})
    error = refused(suggesting(TOXICITY=1))
    assert "makes no correction" in error["message"]
    assert "sentiment (fine, negative)" in error["message"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"comment": {"text": " "}}, "COMMENT_EMPTY"),
        ({"comment": None}, "COMMENT_EMPTY"),
        ({"comment": {"text": "é" * MAX_TEXT_BYTES}}, "COMMENT_TOO_LONG"),
        ({"languages": ["de"]}, "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"),
    ],
)
def test_a_correction_is_asked_the_same_of_text_and_language_as_an_analysis(change: dict[str, Any], kind: str) -> None:
    assert error_type(refused(suggesting(TOXICITY=1) | change)) == kind


def test_a_text_of_the_largest_size_can_be_corrected() -> None:
    assert len(suggest(suggesting("x" * MAX_TEXT_BYTES, TOXICITY=1)).text) == MAX_TEXT_BYTES


def test_an_attribute_without_a_label_is_left_out_of_a_correction_where_the_operator_wants_that() -> None:
    body = suggesting(THREAT=1, TOXICITY=1)
    assert labels(suggest(body, perspective_skip_unknown=True)) == {"toxicity": "toxic"}
    assert refused(suggesting(THREAT=1), perspective_skip_unknown=True)["code"] == 400


def test_a_caller_is_told_why_kafka_did_not_take_a_correction_and_when_to_come_back() -> None:
    published: Future[None] = Future()
    published.set_exception(NotTakenError("Kafka is away."))
    with pytest.raises(ApiError) as raised:
        asyncio.run(acknowledged(published, timeout_s=60.0))
    response = raised.value.response()
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert error_of(raised.value)["message"] == "Kafka is away."


def test_a_caller_waits_no_longer_than_the_deadline_and_takes_back_what_is_not_begun() -> None:
    published: Future[None] = Future()
    with pytest.raises(ApiError) as raised:
        asyncio.run(acknowledged(published, timeout_s=0.05))
    assert error_of(raised.value)["code"] == 503
    assert published.cancelled()
