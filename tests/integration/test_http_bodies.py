"""Whatever is sent to POST /predict, the answer is no fault of the server, and quotes nothing of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schemas import MAX_TEXT_CHARACTERS
from tests.http_serving import Reply, Server, serving

MARK = "Zq7secretQz"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(MARK),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just(MARK), inner, max_size=4),
    max_leaves=12,
)
near_misses = st.fixed_dictionaries(
    {},
    optional={"text": json_values, "texts": st.lists(json_values, max_size=4) | json_values, MARK: json_values},
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | near_misses.map(lambda value: json.dumps(value).encode())
    | near_misses.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | st.text().map(lambda text: (MARK + text).encode("utf-8", "surrogatepass"))
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_no_body_is_a_fault_of_the_server_and_none_is_quoted(
    server: Server, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    with capture_logs() as logs:
        reply = server.ask("POST", "/predict", body)
    assert reply.status in (200, 422), reply
    if reply.status == 422:
        assert reply.body["error"]["message"]
    assert MARK not in json.dumps(reply.body) + str(logs) + caplog.text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request: Invalid JSON"),
        (b"Lovely!", "The request: Invalid JSON"),
        (b'{"text": "Lov', "The request: Invalid JSON"),
        (b"\xff\xfe{}", "The request: Invalid JSON"),
        (b'["Lovely!"]', "The request: Input should be an object"),
        (b"{}", "give either `text` or `texts`"),
        (b'{"text": "a", "texts": ["b"]}', "give either `text` or `texts`"),
        (b'{"text": null}', "give either `text` or `texts`"),
        (b'{"text": 5}', "text: Input should be a valid string"),
        (b'{"text": " \\n\\t"}', "text: String should have at least 1 character"),
        (b'{"texts": []}', "texts: List should have at least 1 item"),
        (json.dumps({"texts": ["x"] * 257}).encode(), "texts: List should have at most 256 items"),
        (b'{"texts": ["a", "", 3, "b"]}', "texts[1]: String should have at least 1 character. texts[2]: Input should"),
        (b'{"texts": "Lovely!"}', "texts: Input should be a valid array"),
        (b'{"text": "a", "text": "b"}', "text: stands twice"),
        (rb'{"texts": ["a"], "te\u0078ts": ["b"]}', "texts: stands twice"),
        (b'{"text": 1, "text": "b"}', "text: stands twice"),
    ],
)
def test_what_is_wrong_with_a_body_is_said_with_its_place(server: Server, body: bytes, message: str) -> None:
    reply = server.ask("POST", "/predict", body)
    assert reply.status == 422
    assert message in reply.body["error"]["message"]


def test_the_longest_texts_and_the_most_of_them_are_answered(server: Server) -> None:
    reply = predict(server, [str(number).ljust(10_000, "x") for number in range(256)])
    assert (reply.status, len(reply.body["predictions"])) == (200, 256)
    assert all(prediction["truncated"] for prediction in reply.body["predictions"])


def predict(server: Server, texts: list[str]) -> Reply:
    return server.ask("POST", "/predict", json.dumps({"texts": texts}, ensure_ascii=False).encode())


@pytest.mark.parametrize("text", ["\x00", "\u200b\u2028", "🏳️‍🌈" * 500, "x" * 20_480, "  padded\u3000", "a\r\nb"])
def test_every_text_of_the_contract_is_answered(server: Server, text: str) -> None:
    assert predict(server, [text]).status == 200


def test_unknown_fields_are_ignored_as_they_are_on_the_stream(server: Server) -> None:
    body: dict[str, Any] = {"text": "Lovely!", "id": 5, "metadata": {"x": [1]}, "texts": None}
    assert server.ask("POST", "/predict", json.dumps(body).encode()).status == 200


def test_a_byte_order_mark_and_half_an_emoji_are_read_as_the_stream_reads_them(server: Server) -> None:
    half = server.ask("POST", "/predict", rb'{"text": "so good \ud83d"}')
    marked = server.ask("POST", "/predict", b'\xef\xbb\xbf{"text": "so good"}')
    assert (half.status, marked.status) == (200, 200)


def test_of_a_longer_text_the_first_20480_characters_are_judged_and_the_answer_says_so(server: Server) -> None:
    longer, whole = "x" * MAX_TEXT_CHARACTERS + " awful", "x" * MAX_TEXT_CHARACTERS
    predictions = predict(server, [longer, whole]).body["predictions"]
    assert predictions[0]["tags"] == predictions[1]["tags"]
    assert predictions[0]["truncated"]
