"""The Perspective API's shapes and errors, without a server."""

import json
from typing import Any

import pytest

from consumer.answer import Answer
from consumer.http.errors import ApiError
from consumer.http.perspective_models import MAX_TEXT_BYTES, AnalyzeRequest, parse
from schemas import MAX_TEXT_CHARACTERS
from tests.fakes import DictCache
from tests.perspective import analyze, asking, error_of, error_type, refused


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
    """The original counts bytes: a client that cuts its texts to fit cuts them there."""
    for character in ("x", "é", "€", "😀"):
        most = MAX_TEXT_BYTES // len(character.encode())
        assert "attributeScores" in analyze(asking(character * most))
        error = refused(asking(character * (most + 1)))
        assert error_type(error) == "COMMENT_TOO_LONG"
        assert error["message"].startswith(f"Comment text too long. At most {MAX_TEXT_BYTES:,} bytes")


def test_no_text_that_is_taken_is_cut_before_it_is_judged() -> None:
    assert MAX_TEXT_BYTES <= MAX_TEXT_CHARACTERS


@pytest.mark.parametrize("attributes", [{}, None])
def test_a_request_for_no_attribute_is_told_apart(attributes: Any) -> None:
    error = refused({"comment": {"text": "fine"}, "requestedAttributes": attributes})
    assert error_type(error) == "NO_REQUESTED_ATTRIBUTES"
    assert error["message"].startswith("Missing requested_attributes")


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
        b'{"my secret":"\x80"}',
        b"{my_secret: '\xed\xa0\x80'}",
        b'{"my secret": 1}',
        b'{"comment": {"my secret": 1}}',
        b'{"requestedAttributes": {"my secret": 1}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        parse(body, AnalyzeRequest)
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
    assert parse(body, AnalyzeRequest) == AnalyzeRequest.model_validate(plain)


def test_only_json_itself_may_be_large() -> None:
    """Reading 4 MiB of anything else would hold up every other caller."""
    padding = " " * 70_000
    assert parse(f'{{{padding}"comment": {{}}}}'.encode(), AnalyzeRequest).comment is not None
    with pytest.raises(ApiError) as raised:
        parse(f"{{{padding}comment: {{}}}}".encode(), AnalyzeRequest)
    assert error_of(raised.value)["message"].startswith("The request's body is not JSON")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"comment": {"text": "my secret", "text": "x"}, "requestedAttributes": {"TOXICITY": {}}}', "text"),
        (rb'{"comment": {"text": "x", "te\u0078t": "my secret"}, "requestedAttributes": {}}', "text"),
        (b'{"comment": {"text": "my secret"}, "comment": {"text": "x"}}', "comment"),
        (b'{"comment": {"text": "x"}, "requestedAttributes": {"TOXICITY": {}, "TOXICITY": {}}}', "TOXICITY"),
        (b'{"comment": {"text": "x"}, "my secret": 1, "my secret": 2}', "(not a name)"),
        (b'{"doNotStore": true, "comment": {"text": "my secret"}, "doNotStore": false}', "doNotStore"),
    ],
)
def test_a_name_that_stands_twice_is_refused_and_named(body: bytes, name: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse(body, AnalyzeRequest)
    message = json.loads(bytes(raised.value.response().body))["error"]["message"]
    assert f"{name}: stands twice" in message
    assert "secret" not in message


def test_a_name_that_stands_in_two_objects_refuses_nothing() -> None:
    assert parse(
        b'{"comment": {"text": "x"}, "context": {"entries": [{"text": "y"}, {"text": "z"}]}}', AnalyzeRequest
    ).comment


def test_a_byte_order_mark_and_half_an_emoji_are_read_as_the_stream_reads_them() -> None:
    asked = parse(b'\xef\xbb\xbf{"comment": {"text": "so good \\ud83d"}}', AnalyzeRequest)
    assert asked.comment is not None
    assert asked.comment.text == "so good \ufffd"


@pytest.mark.parametrize(
    "body",
    [
        b"{comment: {text: 'my secret'}, comment: {text: 'x'}, requestedAttributes: {TOXICITY: {}}}",
        b"{comment: {text: 'my secret', 'text': 'x'}, requestedAttributes: {TOXICITY: {}}}",
        b'{"comment": {"text": "my secret"}, "comment": {"text": "x"}, /* a:b */}',
    ],
)
def test_a_name_that_stands_twice_in_json5_is_refused_too(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        parse(body, AnalyzeRequest)
    message = json.loads(bytes(raised.value.response().body))["error"]["message"]
    assert "stands twice" in message
    assert "secret" not in message


def test_json5_with_colons_in_strings_and_comments_and_half_an_emoji_is_read() -> None:
    body = rb"""{comment: {text: 'a: b \ud83d', /* c: d */ type: "PLAIN_TEXT"}, // e: f
    requestedAttributes: {TOXICITY: {},}}"""
    asked = parse(body, AnalyzeRequest)
    assert asked.comment is not None
    assert asked.comment.text == "a: b \ufffd"
