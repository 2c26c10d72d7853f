"""The Perspective API's shapes, errors, attributes and languages, without a server."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from consumer.answer import Answer
from consumer.http.errors import ApiError
from consumer.http.perspective import analyzed
from consumer.http.perspective_models import AnalyzeRequest, parse
from consumer.jobs import Answers
from consumer.micro_batcher import MicroBatcher
from consumer.model.doubt import doubted, with_language
from consumer.model.labels import TagGroups
from consumer.policy import Policy
from consumer.predictor import Predictor
from consumer.settings import Settings
from consumer.verdict import Judge
from schemas import ModelInfo
from tests.fakes import TAG_GROUPS, DictCache, WordEngine

ITALIAN = "sei un idiota e non capisci niente"


class EnglishEngine(WordEngine):
    """Says of a text in another language that it does not know it."""

    def classify(self, model_texts: Any) -> Answers:
        answers = super().classify(model_texts)
        return [doubted(text, answer, TAG_GROUPS) for text, answer in zip(model_texts, answers, strict=True)]


@contextmanager
def predicting(engine: WordEngine, groups: TagGroups, cache: DictCache) -> Iterator[Predictor]:
    batcher = MicroBatcher(engine, max_waiting_texts=16)
    judge = Judge(tags_of=groups.tags, model=ModelInfo(name="words", version="1"), policy=Policy())
    labels = {f"{group}.{label}" for group, names in groups.label_names().items() for label in names}
    try:
        yield Predictor(batcher, cache, cache.key, judge, labels)
    finally:
        batcher.close(timeout_s=10.0)


def analyze(body: dict[str, Any], *, english_only: bool = False, cache: DictCache | None = None) -> dict[str, Any]:
    """The answer as it goes out; with `english_only`, of a model that says so."""
    engine, groups = (EnglishEngine(), with_language(TAG_GROUPS)) if english_only else (WordEngine(), TAG_GROUPS)
    with predicting(engine, groups, cache if cache is not None else DictCache()) as predictor:
        asked = parse(json.dumps(body).encode())
        answer, _ = asyncio.run(analyzed(asked, predictor, Settings()))
    found: dict[str, Any] = json.loads(answer.model_dump_json(exclude_none=True))
    return found


def refused(body: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The error in the answer to `body`."""
    with pytest.raises(ApiError) as raised:
        analyze(body, **options)
    return error_of(raised.value)


def error_of(error: ApiError) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(error.response().body))["error"]
    return found


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}} | more


def error_type(error: dict[str, Any]) -> str:
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    [detail] = error["details"]
    assert detail["@type"] == "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
    found: str = detail["errorType"]
    return found


def test_a_comment_gets_the_score_of_the_label_its_attribute_is_mapped_to() -> None:
    assert analyze(asking("awful")) == {
        "attributeScores": {
            "TOXICITY": {
                "spanScores": [{"begin": 0, "end": 5, "score": {"value": 0.99, "type": "PROBABILITY"}}],
                "summaryScore": {"value": 0.99, "type": "PROBABILITY"},
            }
        }
    }


def test_a_span_ends_where_javascript_says_the_text_ends() -> None:
    """An emoji outside the basic plane is one character of Python's and two of JavaScript's."""
    [span] = analyze(asking("ab😀 "))["attributeScores"]["TOXICITY"]["spanScores"]
    assert (span["begin"], span["end"]) == (0, 5)


@pytest.mark.parametrize(("threshold", "is_there"), [(0.98, True), (0.99, True), (0.991, False), (None, True)])
def test_a_score_below_its_threshold_is_left_out(threshold: float | None, is_there: bool) -> None:
    parameters = {"scoreType": "PROBABILITY", "scoreThreshold": threshold}
    answer = analyze(asking("awful") | {"requestedAttributes": {"TOXICITY": parameters}, "clientToken": "c-7"})
    assert ("attributeScores" in answer) is is_there
    assert answer["clientToken"] == "c-7"


def test_every_field_of_a_request_is_accepted() -> None:
    answer = analyze(
        {
            "comment": {"text": "awful", "type": "PLAIN_TEXT"},
            "context": {"entries": [{"text": "before", "type": "PLAIN_TEXT"}]},
            "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY", "scoreThreshold": 0}},
            "spanAnnotations": True,
            "languages": ["en"],
            "doNotStore": True,
            "clientToken": "c-7",
            "sessionId": "s-1",
            "communityId": "/forum/movies",
        }
    )
    assert (answer["languages"], answer["clientToken"]) == (["en"], "c-7")


def test_names_may_come_in_snake_case_and_nulls_for_what_is_absent() -> None:
    body = {"comment": {"text": "awful", "type": None}, "requested_attributes": {"TOXICITY": {}}, "do_not_store": None}
    assert analyze(body)["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.99


@pytest.mark.parametrize("do_not_store", [True, False])
def test_do_not_store_keeps_not_even_a_digest(do_not_store: bool) -> None:
    cache = DictCache()
    analyze(asking("awful", doNotStore=do_not_store), cache=cache)
    assert list(cache.answers) == ([] if do_not_store else [b"awful"])


def test_do_not_store_is_still_answered_from_what_others_had_kept() -> None:
    cache = DictCache()
    cache.answers[b"awful"] = Answer((0.2, 0.3, 0.5, 0.75), truncated=False)
    answer = analyze(asking("awful", doNotStore=True), cache=cache)
    assert answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.75


@pytest.mark.parametrize("comment", [{}, {"text": ""}, {"text": " \n\t"}, {"text": None}, None])
def test_an_empty_comment_is_told_apart(comment: Any) -> None:
    error = refused({"comment": comment, "requestedAttributes": {"TOXICITY": {}}})
    assert (error_type(error), error["message"]) == ("COMMENT_EMPTY", "Comment must be non-empty.")


def test_a_comment_that_is_too_long_is_told_apart_and_one_at_the_limit_is_answered() -> None:
    assert "attributeScores" in analyze(asking("x" * 20_480 + " "))
    error = refused(asking("x" * 20_481))
    assert error_type(error) == "COMMENT_TOO_LONG"
    assert error["message"].startswith("Comment text too long.")


@pytest.mark.parametrize("attributes", [{}, None])
def test_a_request_for_no_attribute_is_told_apart(attributes: Any) -> None:
    error = refused({"comment": {"text": "fine"}, "requestedAttributes": attributes})
    assert error_type(error) == "NO_REQUESTED_ATTRIBUTES"
    assert error["message"].startswith("Missing requested_attributes")


def test_an_attribute_that_the_model_cannot_answer_is_named_with_those_it_can() -> None:
    error = refused(asking("fine") | {"requestedAttributes": {"TOXICITY": {}, "SEVERE_TOXICITY": {}}})
    assert error_type(error) == "INVALID_REQUEST"
    assert error["message"].startswith("Unknown requested attribute: SEVERE_TOXICITY")
    assert "answers TOXICITY" in error["message"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"comment": {"text": "fine", "type": "HTML"}}, "Currently, only 'PLAIN_TEXT' comments are supported"),
        ({"comment": {"text": "fine", "type": "RTF"}}, "Unknown text type"),
        (
            {"requestedAttributes": {"TOXICITY": {"scoreType": "RAW"}}},
            "Requested score type RAW is not supported by attribute TOXICITY",
        ),
        (
            {"context": {"entries": [{"text": "a"}], "articleAndParentComment": {"article": {"text": "b"}}}},
            "Context can have either entries or article_and_parent_comment, but both fields were populated.",
        ),
        ({"doNotStor": True}, "Invalid JSON payload received. Unknown name at 'doNotStor': Cannot find field."),
        ({"comment": "fine"}, "Invalid value at 'comment': Input should be an object."),
        ({"comment": {"text": 5}}, "Invalid value at 'comment.text': Input should be a valid string."),
        ({"doNotStore": "yes"}, "Invalid value at 'doNotStore': Input should be a valid boolean."),
        ({"comment": {"text": "poison"}}, "The model cannot answer this comment: the text makes the model fail."),
    ],
)
def test_what_else_is_wrong_is_said_in_the_words_that_clients_know(change: dict[str, Any], message: str) -> None:
    error = refused(asking("fine") | change)
    assert error_type(error) == "INVALID_REQUEST"
    assert error["message"].startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"5",
        b"not json, my secret",
        b"\xff\xfe",
        b'{"my secret": 1}',
        b'{"comment": {"my secret": 1}}',
        b'{"requestedAttributes": {"my secret": 1}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        parse(body)
    error = error_of(raised.value)
    assert error_type(error) == "INVALID_REQUEST"
    assert "secret" not in json.dumps(error)


def test_names_without_quotes_and_trailing_commas_are_read_as_in_the_documentation() -> None:
    body = b'{comment: {text: "what: {kind, of}"},\n languages: ["en"],\n requestedAttributes: {TOXICITY:{},} }'
    plain = {
        "comment": {"text": "what: {kind, of}"},
        "languages": ["en"],
        "requestedAttributes": {"TOXICITY": {}},
    }
    assert parse(body) == AnalyzeRequest.model_validate(plain)


def test_only_json_itself_may_be_large() -> None:
    """Reading 4 MiB of anything else would hold up every other caller."""
    padding = " " * 70_000
    assert parse(f'{{{padding}"comment": {{}}}}'.encode()).comment is not None
    with pytest.raises(ApiError) as raised:
        parse(f"{{{padding}comment: {{}}}}".encode())
    assert error_of(raised.value)["message"].startswith("The request's body is not JSON")


def test_of_several_languages_the_model_needs_to_know_one() -> None:
    answer = analyze(asking("you are awful", languages=["it", "en-GB"]), english_only=True)
    assert answer["languages"] == ["it", "en-GB"]
    assert answer["detectedLanguages"] == ["en"]


def test_requested_languages_that_the_model_does_not_know_are_refused_in_the_shape_that_clients_parse() -> None:
    error = refused(asking("you are awful", languages=["it", "fr"]), english_only=True)
    assert error_type(error) == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    assert error["message"] == "Attribute TOXICITY does not support request languages: it, fr"
    assert error["details"][0]["languageNotSupportedByAttributeError"] == {
        "attribute": "TOXICITY",
        "requestedLanguages": ["it", "fr"],
    }


def test_a_comment_in_another_language_is_refused_like_one_whose_language_was_said() -> None:
    error = refused(asking(ITALIAN), english_only=True)
    assert error_type(error) == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    assert error["message"] == "Attribute TOXICITY does not support request languages: und"
    assert error["details"][0]["languageNotSupportedByAttributeError"] == {
        "attribute": "TOXICITY",
        "detectedLanguages": ["und"],
    }


def test_the_language_that_the_client_says_counts_more_than_the_detected_one() -> None:
    answer = analyze(asking(ITALIAN, languages=["en"]), english_only=True)
    assert (answer["languages"], answer["detectedLanguages"]) == (["en"], ["und"])
    assert "attributeScores" in answer


def test_an_english_comment_is_detected() -> None:
    answer = analyze(asking("you are awful"), english_only=True)
    assert (answer["languages"], answer["detectedLanguages"]) == (["en"], ["en"])


def test_a_model_that_does_not_look_at_languages_takes_all_and_claims_nothing() -> None:
    assert "detectedLanguages" not in analyze(asking(ITALIAN))
    assert analyze(asking(ITALIAN, languages=["it"]))["languages"] == ["it"]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"comment": {"text": "my secret", "text": "x"}, "requestedAttributes": {"TOXICITY": {}}}', "text"),
        (rb'{"comment": {"text": "x", "te\u0078t": "my secret"}, "requestedAttributes": {}}', "text"),
        (b'{"comment": {"text": "my secret"}, "comment": {"text": "x"}}', "comment"),
        (b'{"doNotStore": true, "comment": {"text": "my secret"}, "doNotStore": false}', "doNotStore"),
    ],
)
def test_a_name_that_stands_twice_is_refused_and_named(body: bytes, name: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse(body)
    message = json.loads(bytes(raised.value.response().body))["error"]["message"]
    assert f"{name}: stands twice" in message
    assert "secret" not in message


def test_names_that_stand_twice_in_the_context_refuse_nothing() -> None:
    assert parse(b'{"comment": {"text": "x"}, "context": {"entries": [{"text": "y"}, {"text": "z"}]}}').comment


def test_a_byte_order_mark_and_half_an_emoji_are_read_as_the_stream_reads_them() -> None:
    asked = parse(b'\xef\xbb\xbf{"comment": {"text": "so good \\ud83d"}}')
    assert asked.comment is not None
    assert asked.comment.text == "so good \ufffd"
