"""What the Perspective API's way in is set up with: attributes, keys, and the documents its clients ask for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from consumer.http.perspective import attributes_of, key_of
from consumer.http.perspective_discovery import discovery_document
from consumer.http.perspective_models import AnalyzeRequest, request_schema
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError, load_settings

LABELS = {"toxicity.toxic", "toxicity.clean", "sentiment.negative"}


def test_the_default_attribute_yields_where_the_model_has_no_such_label() -> None:
    assert attributes_of(Settings(), LABELS) == {"TOXICITY": "toxicity.toxic"}
    assert attributes_of(Settings(), {"sentiment.negative"}) == {}


def test_a_mapping_to_a_label_that_the_model_lacks_is_refused_with_the_labels_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERSPECTIVE_ATTRIBUTES", '{"TOXICITY": "toxicity.toxic", "INSULT": "toxicity.insult"}')
    with pytest.raises(SettingsError, match=r"PERSPECTIVE_ATTRIBUTES maps INSULT to toxicity\.insult, but .*clean"):
        attributes_of(load_settings(), LABELS)


def test_attributes_can_be_mapped_to_any_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_ATTRIBUTES", '{"SAD": "sentiment.negative"}')
    assert attributes_of(load_settings(), LABELS) == {"SAD": "sentiment.negative"}


@pytest.mark.parametrize(
    ("path", "query", "headers", "key"),
    [
        ("/v1alpha1/comments:analyze", b"key=s3cret", [], b"s3cret"),
        ("/v1alpha1/comments:analyze", b"alt=json&key=a%2Bb+c%C3%A4", [], "a+b cä".encode()),
        ("/v1alpha1/comments:suggestscore", b"", [(b"x-goog-api-key", b"s3cret")], b"s3cret"),
        ("/v1alpha1/comments:analyze", b"", [], b""),
        ("/v1alpha1/comments:analyze", b"\xff=%ff&key", [], b""),
        ("/predict", b"key=s3cret", [(b"x-goog-api-key", b"s3cret")], b""),
    ],
)
def test_an_api_key_is_found_where_clients_put_it_and_on_no_other_path(
    path: str, query: bytes, headers: list[tuple[bytes, bytes]], key: bytes
) -> None:
    scope: Scope = {"type": "http", "path": path, "query_string": query, "headers": headers}
    assert key_of(scope) == key


@given(st.binary())
def test_any_query_gives_a_key_or_none(query: bytes) -> None:
    assert isinstance(key_of({"path": "/v1alpha1/x", "query_string": query, "headers": []}), bytes)


def test_the_discovery_document_refers_to_nothing_that_it_lacks() -> None:
    document = discovery_document("http://here/")
    methods = document["resources"]["comments"]["methods"]
    assert set(methods) == {"analyze", "suggestscore"}
    for method in methods.values():
        assert {method["request"]["$ref"], method["response"]["$ref"]} <= set(document["schemas"])


def test_the_request_schema_stands_alone() -> None:
    text = json.dumps(request_schema(AnalyzeRequest))
    assert "$ref" not in text
    assert "scoreThreshold" in text
