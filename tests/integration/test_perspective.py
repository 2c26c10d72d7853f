"""The Perspective API over a real socket: what its documentation shows works here, or gets the error it documents.

The requests are in the documentation's forms, one test per form, with texts of our own.
"""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumer.loading import load_model
from consumer.settings import Settings
from schemas import Feedback
from tests.fakes import WordEngine
from tests.http_serving import HeldEngine, Reply, Server, held_up, serving, wait_until

ANALYZE = "/v1alpha1/comments:analyze"
SUGGEST = "/v1alpha1/comments:suggestscore"
KEY = "s3cret-key"
SECRET = "⟦a secret text⟧"


@pytest.fixture(scope="module")
def bundled() -> Iterator[Server]:
    """The bundled model behind a key, as the documentation's examples expect it."""
    engine, _ = load_model(Settings(model_device="cpu"))
    server = Server(cast(WordEngine, engine), http_token=KEY)  # the server needs of it what every loaded model has
    yield server
    server.begin_to_stop()
    server.join()
    assert server.error is None


@pytest.fixture(scope="module")
def words() -> Iterator[Server]:
    with serving() as server:
        yield server


def post(server: Server, path: str, body: Any, **headers: str) -> Reply:
    """Send `body`: text as it is, anything else as JSON. Underscores in the names of headers stand for dashes."""
    content = body if isinstance(body, str) else json.dumps(body)
    return server.ask(
        "POST", path, content.encode(), {name.replace("_", "-"): value for name, value in headers.items()}
    )


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}} | more


def toxicity(reply: Reply) -> float:
    assert reply.status == 200, reply
    scores = reply.body["attributeScores"]["TOXICITY"]
    assert scores["summaryScore"] == scores["spanScores"][0]["score"]
    assert scores["summaryScore"]["type"] == "PROBABILITY"
    found: float = scores["summaryScore"]["value"]
    return found


def error_of(reply: Reply, code: int, status: str) -> dict[str, Any]:
    """The error in a reply, which is in the API's shape."""
    assert reply.status == code, reply
    error: dict[str, Any] = reply.body["error"]
    assert (error["code"], error["status"]) == (code, status)
    assert error["message"]
    assert set(error) <= {"code", "message", "status", "details"}
    return error


# What the documentation shows.


def test_the_curl_example_works_with_its_unquoted_names_and_its_key(bundled: Server) -> None:
    body = '{comment: {text: "you are a stupid idiot"},\n  languages: ["en"],\n  requestedAttributes: {TOXICITY:{}} }'
    reply = post(bundled, f"{ANALYZE}?key={KEY}", body, Content_Type="application/json")
    assert toxicity(reply) > 0.5
    assert reply.body["languages"] == ["en"]


def test_a_curl_that_names_no_content_type_works_too(bundled: Server) -> None:
    """curl then says that it sends a form."""
    form = "application/x-www-form-urlencoded"
    assert toxicity(post(bundled, f"{ANALYZE}?key={KEY}", asking("thank you so much"), Content_Type=form)) < 0.5


def test_the_python_requests_example_works_which_sends_no_content_type(bundled: Server) -> None:
    body = asking("you are a stupid idiot", languages=["en"])
    assert toxicity(post(bundled, f"{ANALYZE}?key={KEY}", body)) > 0.5


def test_the_client_libraries_example_works_without_a_language(bundled: Server) -> None:
    reply = post(bundled, f"{ANALYZE}?alt=json&key={KEY}&prettyPrint=false", asking("friendly greetings from a test"))
    assert toxicity(reply) < 0.5
    assert (reply.body["languages"], reply.body["detectedLanguages"]) == (["en"], ["en"])


def test_the_reference_example_gets_the_documented_error_for_the_attribute_that_is_not_here(bundled: Server) -> None:
    body = asking("what a name. sorry!", languages=["en"])
    body["requestedAttributes"]["UNSUBSTANTIAL"] = {}
    error = error_of(post(bundled, f"{ANALYZE}?key={KEY}", body), 400, "INVALID_ARGUMENT")
    assert error["message"].startswith("Unknown requested attribute: UNSUBSTANTIAL")


def test_without_kafka_the_suggestscore_example_is_told_where_corrections_go(bundled: Server) -> None:
    body = (
        '{"comment": {"text": "it is a choice"}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 0}}, },\n'
        '"communityId": "/forum/movies", "clientToken": "comment-1"}'
    )
    error = error_of(post(bundled, f"{SUGGEST}?key={KEY}", body), 501, "UNIMPLEMENTED")
    assert "comments.feedback" in error["message"]
    assert "moderate feedback collect" in error["message"]


def test_the_discovery_document_of_the_examples_names_this_host_and_needs_no_key(bundled: Server) -> None:
    reply = bundled.get("/$discovery/rest?version=v1alpha1", Host="moderation.example:8000")
    assert reply.status == 200
    assert reply.body["rootUrl"] == "http://moderation.example:8000/"
    assert reply.body["resources"]["comments"]["methods"]["analyze"]["path"] == ANALYZE.removeprefix("/")
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("languages", [[], ["it"]])
def test_a_comment_in_another_language_gets_the_error_that_clients_skip_it_for(
    bundled: Server, languages: list[str]
) -> None:
    reply = post(bundled, f"{ANALYZE}?key={KEY}", asking("Non capisci niente di questa storia", languages=languages))
    error = error_of(reply, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["errorType"] == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    assert error["details"][0]["languageNotSupportedByAttributeError"]["attribute"] == "TOXICITY"


# Who may ask.


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        (f"?key={KEY}", {}),
        ("", {"X_Goog_Api_Key": KEY}),
        ("", {"Authorization": f"Bearer {KEY}"}),
    ],
)
def test_the_token_is_taken_where_clients_put_their_api_key(
    bundled: Server, query: str, headers: dict[str, str]
) -> None:
    assert post(bundled, ANALYZE + query, asking("thank you so much"), **headers).status == 200


@pytest.mark.parametrize("query", ["", "?key=wrong", "?key=", f"?key={KEY}x", f"?token={KEY}"])
def test_any_other_key_is_refused_and_not_repeated(bundled: Server, query: str) -> None:
    for path in (ANALYZE, SUGGEST):
        reply = post(bundled, path + query, asking("thank you so much"))
        error_of(reply, 401, "UNAUTHENTICATED")
        assert KEY not in json.dumps(reply.body)


def test_an_api_key_opens_no_other_path(bundled: Server) -> None:
    assert post(bundled, f"/predict?key={KEY}", {"text": "fine"}).status == 401


def test_a_host_that_others_can_reach_takes_no_comment_without_a_token() -> None:
    with serving(http_host="0.0.0.0") as server:  # noqa: S104 - that is what is tested
        error_of(post(server, ANALYZE, asking("fine")), 403, "PERMISSION_DENIED")


# When it cannot answer.


def test_a_comment_beyond_the_queue_is_told_when_to_come_back_and_then_answered() -> None:
    engine = HeldEngine()
    with serving(engine, http_max_waiting_texts=256) as server:
        with held_up(server, engine):
            assert server.services.batcher is not None
            server.services.batcher.submit([f"waits {number}" for number in range(256)])
            reply = post(server, ANALYZE, asking("awful"))
        error_of(reply, 429, "RESOURCE_EXHAUSTED")
        assert int(reply.headers["retry-after"]) >= 1
        wait_until(lambda: server.waiting_texts == 0)
        assert toxicity(post(server, ANALYZE, asking("awful"))) == 0.99


def test_a_comment_that_is_not_answered_in_time_is_given_up() -> None:
    engine = WordEngine()
    with serving(engine, http_timeout_ms=100) as server:
        engine.gate.clear()
        error_of(post(server, ANALYZE, asking("fine")), 504, "DEADLINE_EXCEEDED")


def test_until_the_model_is_loaded_clients_are_told_to_come_back() -> None:
    with serving(loading=True) as server:
        reply = post(server, ANALYZE, asking("awful"))
        error_of(reply, 503, "UNAVAILABLE")
        assert int(reply.headers["retry-after"]) >= 1
        server.load()
        assert toxicity(post(server, ANALYZE, asking("awful"))) == 0.99


def test_a_broken_model_is_unavailable() -> None:
    engine = WordEngine()
    server = Server(engine)
    engine.broken = True
    error_of(post(server, ANALYZE, asking("fine")), 503, "UNAVAILABLE")
    server.join()


def test_a_body_beyond_the_limit_is_refused_in_the_same_shape() -> None:
    with serving(http_max_request_bytes=1_024) as server:
        error_of(post(server, ANALYZE, asking("x" * 2_000)), 413, "INVALID_ARGUMENT")


# Whatever comes.


def test_answered_comments_are_counted(words: Server) -> None:
    def counted() -> float:
        lines = words.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("moderation_http_texts_total{"))

    before = counted()
    assert post(words, ANALYZE, asking("awful to count")).status == 200
    assert post(words, ANALYZE, asking("")).status == 400
    assert counted() == before + 1


def test_the_api_description_tells_what_to_send(words: Server) -> None:
    operation = words.get("/openapi.json").body["paths"][ANALYZE]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert {"comment", "requestedAttributes", "doNotStore"} <= set(schema["properties"])
    assert {"200", "400", "401", "429", "503", "504"} <= set(operation["responses"])
    suggest = words.get("/openapi.json").body["paths"][SUGGEST]["post"]
    assert {"comment", "attributeScores"} <= set(
        suggest["requestBody"]["content"]["application/json"]["schema"]["properties"]
    )
    assert {"200", "400", "501", "503"} <= set(suggest["responses"])


@pytest.mark.parametrize(
    ("body", "score"),
    [
        # Discourse's plugin, and Coral 9: what they send, and where they read the score.
        (
            {
                "comment": {"text": "awful"},
                "doNotStore": True,
                "sessionId": "https://forum.example_7",
                "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY"}},
            },
            0.99,
        ),
        (
            {
                "comment": {"text": "awful"},
                "doNotStore": False,
                "requestedAttributes": {"TOXICITY": {}},
                "languages": ["en"],
            },
            0.99,
        ),
    ],
    ids=["Discourse", "Coral"],
)
def test_what_forums_send_gets_the_score_where_they_read_it(words: Server, body: Any, score: float) -> None:
    assert toxicity(post(words, ANALYZE, body)) == score


def test_an_attribute_that_is_left_out_leaves_the_others_answered_over_http() -> None:
    with serving(perspective_skip_unknown=True) as server, capture_logs() as logs:
        body = asking("awful") | {"requestedAttributes": {"SEVERE_TOXICITY": {}, "TOXICITY": {}}}
        reply = post(server, ANALYZE, body)
        assert toxicity(reply) == 0.99
        assert list(reply.body["attributeScores"]) == ["TOXICITY"]
        error_of(post(server, ANALYZE, body | {"requestedAttributes": {"THREAT": {}}}), 400, "INVALID_ARGUMENT")
    said = [entry["attributes"] for entry in logs if entry["event"] == "perspective_attributes_skipped"]
    assert said == ["SEVERE_TOXICITY"]


FIELDS = [
    "comment", "text", "type", "context", "entries", "articleAndParentComment", "article", "requestedAttributes",
    "TOXICITY", "scoreType", "scoreThreshold", "spanAnnotations", "languages", "doNotStore", "clientToken", "sessionId",
]  # fmt: skip
names = st.sampled_from(FIELDS) | st.text(max_size=5).map(lambda text: SECRET + text)
texts = st.text(max_size=30).map(lambda text: SECRET + text)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from(["PROBABILITY", "en", ""])
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
entry = st.fixed_dictionaries({}, optional={"text": texts | anything, "type": st.just("PLAIN_TEXT") | anything})
parameters = st.fixed_dictionaries({}, optional={"scoreThreshold": st.floats(0, 1) | anything, "scoreType": anything})
almost_right = st.fixed_dictionaries(
    {
        "comment": entry | anything,
        "requestedAttributes": st.dictionaries(st.just("TOXICITY") | names, parameters, max_size=2) | anything,
    },
    optional={
        "languages": st.lists(st.just("en") | texts, max_size=2) | anything,
        "doNotStore": st.booleans() | anything,
        "context": st.fixed_dictionaries({}, optional={"entries": st.lists(entry, max_size=2) | anything}) | anything,
        "clientToken": anything,
    },
)


@given(body=almost_right | anything)
@hypothesis_settings(max_examples=150, deadline=None)
def test_any_json_gets_scores_or_a_documented_error_that_repeats_no_text(words: Server, body: Any) -> None:
    reply = post(words, ANALYZE, body)
    if reply.status == 200:
        assert set(reply.body) <= {"attributeScores", "languages", "clientToken"}
        return
    error = error_of(reply, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["errorType"]
    assert SECRET not in json.dumps(error, ensure_ascii=False)


score = st.fixed_dictionaries(
    {}, optional={"value": st.floats(0, 1) | anything, "type": st.just("PROBABILITY") | anything}
)
almost_suggested = st.fixed_dictionaries(
    {
        "comment": entry | anything,
        "attributeScores": st.dictionaries(
            st.just("TOXICITY") | names,
            st.fixed_dictionaries({}, optional={"summaryScore": score | anything, "spanScores": anything}) | anything,
            max_size=2,
        )
        | anything,
    },
    optional={
        "languages": st.lists(st.just("en") | texts, max_size=2) | anything,
        "communityId": texts | anything,
        "clientToken": anything,
    },
)


@given(body=almost_suggested | anything)
@hypothesis_settings(max_examples=150, deadline=None)
def test_any_json_makes_a_correction_that_keeps_its_contract_or_gets_a_documented_error(
    words: Server, body: Any
) -> None:
    published: list[bytes] = []

    def publish(feedback: Feedback) -> "Future[None]":
        published.append(feedback.model_dump_json(exclude_none=True).encode())
        taken: Future[None] = Future()
        taken.set_result(None)
        return taken

    words.services.publish_feedback = publish
    try:
        reply = post(words, SUGGEST, body)
    finally:
        words.services.publish_feedback = None
    if reply.status == 200:
        assert set(reply.body) <= {"clientToken", "requestedLanguages"}
        [value] = published
        assert Feedback.model_validate_json(value).moderator_id.startswith("perspective")
        return
    assert not published
    error = error_of(reply, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["errorType"]
    assert SECRET not in json.dumps(error, ensure_ascii=False)


@given(body=st.text(max_size=60) | st.text(alphabet='{}[]:,"\\u0d8 ae1.+-', max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_text_gets_a_documented_error(words: Server, body: str) -> None:
    assert error_of(post(words, ANALYZE, body), 400, "INVALID_ARGUMENT")["details"][0]["errorType"]
