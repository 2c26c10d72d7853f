"""Which attributes and languages the Perspective API's way in answers, which it leaves out, and what it refuses."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumer.http.errors import ApiError
from consumer.http.perspective_models import MAX_PARTS, AnalyzeRequest, parse
from consumer.http.perspective_skipped import skip_log
from tests.perspective import ITALIAN, analyze, asking, error_of, error_type, refused

BOTH = {"TOXICITY": "toxicity.toxic", "NEGATIVITY": "sentiment.negative"}


def scored(answer: Mapping[str, Any]) -> list[str]:
    return list(answer["attributeScores"])


def asking_for(*names: str, text: str = "you are awful", **more: Any) -> dict[str, Any]:
    return asking(text) | {"requestedAttributes": {name: {} for name in names}} | more


def test_an_attribute_that_the_model_cannot_answer_is_named_with_those_it_can() -> None:
    error = refused(asking("fine") | {"requestedAttributes": {"TOXICITY": {}, "SEVERE_TOXICITY": {}}})
    assert error_type(error) == "INVALID_REQUEST"
    assert error["message"].startswith("Unknown requested attribute: SEVERE_TOXICITY")
    assert "answers TOXICITY" in error["message"]


@pytest.mark.parametrize(
    ("body", "settings"),
    [({}, {"perspective_skip_unknown": True}), ({"dropUnsupportedAttributes": True}, {})],
    ids=["the operator's setting", "the client's wish"],
)
def test_an_attribute_that_the_model_lacks_is_left_out_where_that_is_wanted(
    body: dict[str, Any], settings: dict[str, Any]
) -> None:
    answer = analyze(asking_for("THREAT", "TOXICITY", "__proto__", **body), **settings)
    assert scored(answer) == ["TOXICITY"]


def test_a_request_of_which_no_attribute_is_left_is_refused_all_the_same() -> None:
    """A client that gives thresholds takes an answer without scores for a comment that is below all of them."""
    error = refused(asking_for("THREAT", "INSULT"), perspective_skip_unknown=True)
    assert error_type(error) == "INVALID_REQUEST"
    assert error["message"].startswith("Unknown requested attribute: THREAT, INSULT; the model here answers TOXICITY")


def test_a_refusal_names_a_few_attributes_however_many_were_asked_for() -> None:
    error = refused(asking_for(*(f"A{number}" for number in range(1_000))))
    assert "A9;" in error["message"]
    assert len(error["message"]) < 300


def test_null_for_an_attribute_asks_for_its_defaults() -> None:
    assert scored(analyze(asking("awful") | {"requestedAttributes": {"TOXICITY": None}})) == ["TOXICITY"]


def test_what_is_left_out_is_logged_once_a_minute_and_by_names_only() -> None:
    now_s = 0.0
    skipped = skip_log(lambda: now_s)
    with capture_logs() as lines:
        skipped([])
        skipped(["THREAT"])
        skipped(["INSULT", "my secret"])
        now_s = 61.0
        skipped([f"A{number}" for number in range(1_000)])
    assert [(line["event"], line["requests"]) for line in lines] == [
        ("perspective_attributes_skipped", 1),
        ("perspective_attributes_skipped", 2),
    ]
    assert lines[0]["attributes"] == "THREAT"
    names = lines[1]["attributes"]
    assert "INSULT" in names
    assert "secret" not in names
    assert len(names) < 100


@pytest.mark.parametrize(
    "body",
    [
        asking_for(*(f"A{number}" for number in range(100_000))),
        asking("fine", languages=["en"] * 400_000),
        asking("fine", context={"entries": [{"text": ""}] * 250_000}),
        {f"x{number}": 1 for number in range(250_000)},
        [[]] * 400_000,
    ],
    ids=["attributes", "languages", "entries", "unknown names", "lists"],
)
def test_a_request_of_very_many_parts_is_refused_about_as_fast_as_it_is_read(body: Any) -> None:
    """100,000 attributes held up every other caller for half a second, 300,000 entries of context for 1.8."""
    sent = json.dumps(body).encode()
    began_s = time.perf_counter()
    json.loads(sent)
    read_s = time.perf_counter() - began_s
    with pytest.raises(ApiError) as raised:
        parse(sent, AnalyzeRequest)
    took_s = time.perf_counter() - began_s - read_s
    assert error_of(raised.value)["message"].startswith(f"The request has more than {MAX_PARTS:,} members")
    assert took_s < 5 * read_s + 0.05


def test_one_name_that_stands_very_often_is_refused_about_as_fast_as_it_is_read() -> None:
    """Finding where each of 600,000 members ends by hand took 11 s."""
    sent = b'{"comment":{"text":"x"},' + b",".join([b'"a":1'] * 600_000) + b"}"
    began_s = time.perf_counter()
    json.loads(sent)
    read_s = time.perf_counter() - began_s
    with pytest.raises(ApiError) as raised:
        parse(sent, AnalyzeRequest)
    took_s = time.perf_counter() - began_s - read_s
    assert "a: stands twice" in error_of(raised.value)["message"]
    assert took_s < 8 * read_s + 0.1


def test_a_request_of_as_many_parts_as_are_allowed_is_answered() -> None:
    assert scored(analyze(asking("fine", languages=["en"] * (MAX_PARTS - 5)))) == ["TOXICITY"]


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


@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "en_US", "en-Latn-US", "en_US.UTF-8"])
def test_a_language_is_known_however_it_is_written(language: str) -> None:
    assert analyze(asking("you are awful", languages=[language]), english_only=True)["languages"] == [language]


@pytest.mark.parametrize("language", ["", "eng-lish", "enx", "e", "⟦secret⟧", "x" * 5_000])
def test_what_is_no_language_of_the_model_is_refused_without_quoting_what_is_no_code(language: str) -> None:
    error = refused(asking("you are awful", languages=[language]), english_only=True)
    assert error_type(error) == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    assert "secret" not in json.dumps(error)
    assert len(json.dumps(error)) < 1_000


@pytest.mark.parametrize(
    ("languages", "declared", "attributes"),
    [
        (["de"], {"toxicity": ["en", "de-DE"], "sentiment": ["en"]}, ["TOXICITY"]),
        (["de", "en"], {"toxicity": ["de"], "sentiment": ["en"]}, ["TOXICITY", "NEGATIVITY"]),
        (["fr"], {"toxicity": ["de"], "sentiment": []}, ["NEGATIVITY"]),
        (["fr"], {"toxicity": ["de"], "sentiment": ["en"]}, []),
    ],
)
def test_each_attribute_is_asked_in_the_languages_that_its_own_model_declares(
    languages: list[str], declared: dict[str, Sequence[str]], attributes: list[str]
) -> None:
    body = asking_for("TOXICITY", "NEGATIVITY", languages=languages)
    drop = body | {"dropUnsupportedAttributes": True}
    if attributes:
        assert scored(analyze(drop, languages=declared, perspective_attributes=BOTH)) == attributes
    for refusing in [body] * (len(attributes) < 2) + [drop] * (not attributes):
        error = refused(refusing, languages=declared, perspective_attributes=BOTH)
        assert error_type(error) == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"


def test_a_detected_language_refuses_only_what_an_english_model_answers() -> None:
    declared = {"toxicity": ["en"], "sentiment": ["en", "it"], "language": ["en"]}
    settings: dict[str, Any] = {"languages": declared, "english_only": True, "perspective_attributes": BOTH}
    assert scored(analyze(asking_for("NEGATIVITY", text=ITALIAN), **settings)) == ["NEGATIVITY"]
    both = asking_for("TOXICITY", "NEGATIVITY", text=ITALIAN)
    assert error_type(refused(both, **settings)) == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    assert scored(analyze(both | {"dropUnsupportedAttributes": True}, **settings)) == ["NEGATIVITY"]
