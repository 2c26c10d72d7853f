"""The contracts, and the files generated from them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import schemas
from schemas import Comment, DeadLetterHeaders, DeadLetterReason, Feedback, TaggedComment
from schemas.dead_letter import from_kafka, to_kafka
from schemas.export import EVENTS, asyncapi, json_schemas, write

GENERATED = Path(schemas.__file__).parent / "json"


def test_the_generated_files_are_what_the_models_say(tmp_path: Path) -> None:
    fresh = {path.name: path.read_text() for path in write(tmp_path)}
    committed = {path.name: path.read_text() for path in GENERATED.iterdir()}
    assert committed == fresh, "run `moderate schemas export schemas/json` and commit the result"


@pytest.mark.parametrize("name", EVENTS)
def test_the_example_of_each_event_keeps_its_json_schema_and_its_model(name: str) -> None:
    schema = json_schemas()[name]
    (example,) = schema["examples"]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(example, schema)
    EVENTS[name].model_validate_json(json.dumps(example))


def test_every_reference_of_the_asyncapi_document_points_somewhere() -> None:
    document = asyncapi()

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) >= 12
    for reference in found:
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_the_contracts_can_be_imported_without_the_consumer() -> None:
    program = "import sys; sys.modules['consumer'] = None; import schemas, schemas.export; print(schemas.Comment)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "", "text": "x"},
        {"id": "a" * 257, "text": "x"},
        {"id": "a", "text": "   "},
        {"id": 1.0, "text": "x"},
        {"id": 10**20, "text": "x"},
        {"id": "a", "text": 1},
        {"id": "a"},
    ],
)
def test_a_comment_that_breaks_the_contract_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Comment.model_validate_json(json.dumps(fields))


def test_unknown_fields_of_a_comment_are_kept() -> None:
    comment = Comment.model_validate_json('{"id": "a", "text": " hi ", "future": {"x": 1}}')
    assert comment.model_dump()["future"] == {"x": 1}
    assert comment.text == "hi"


@given(st.sampled_from(list(DeadLetterReason)), st.text(), st.integers(0, 2**40), st.none() | st.integers(0, 2**50))
def test_dead_letter_headers_survive_kafka(
    reason: DeadLetterReason, detail: str, offset: int, timestamp: int | None
) -> None:
    detail = detail.encode("utf-8", "replace").decode()
    headers = DeadLetterHeaders(
        reason=reason, detail=detail, topic="comments", partition=3, offset=offset, timestamp=timestamp
    )
    assert from_kafka([("traceparent", b"x"), *to_kafka(headers)]) == headers


def test_of_a_dead_letter_that_came_twice_the_last_headers_count() -> None:
    first = DeadLetterHeaders(
        reason=DeadLetterReason.TEXT_FAILS_MODEL, detail="", topic="comments", partition=0, offset=1
    )
    second = first.model_copy(update={"offset": 9})
    assert from_kafka([*to_kafka(first), *to_kafka(second)]) == second


def test_a_record_that_is_no_dead_letter_is_refused_with_the_headers_at_fault() -> None:
    with pytest.raises(ValueError, match=r"dlq\.reason: .*dlq\.offset: "):
        from_kafka(
            [("dlq.reason", b"because"), ("dlq.detail", b""), ("dlq.topic", b"comments"), ("dlq.partition", b"0")]
        )


def test_the_message_of_an_error_never_quotes_the_comment() -> None:
    example = json_schemas()["tagged-comment"]["examples"][0]
    example["comment"] = {"id": 1, "text": ["quite private words"]}
    for event, model in ((example["comment"], Comment), (example, TaggedComment)):
        with pytest.raises(ValidationError) as refused:
            model.model_validate_json(json.dumps(event))
        assert "private" not in str(refused.value)


def test_the_text_of_a_tagged_comment_may_be_left_out() -> None:
    example = json_schemas()["tagged-comment"]["examples"][0]
    del example["comment"]["text"]
    jsonschema.validate(example, json_schemas()["tagged-comment"])
    assert TaggedComment.model_validate_json(json.dumps(example)).comment.text is None


@pytest.mark.parametrize("labels", [{}, {"toxicity": None}, {"sentimnet": "neutral"}, {"sentiment": "toxic"}])
def test_feedback_must_correct_something_that_there_is(labels: dict[str, object]) -> None:
    schema = json_schemas()["feedback"]
    feedback = schema["examples"][0] | {"labels": labels}
    with pytest.raises(ValidationError):
        Feedback.model_validate_json(json.dumps(feedback))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(feedback, schema)


def test_a_score_outside_zero_to_one_is_no_tagged_comment() -> None:
    example = json_schemas()["tagged-comment"]["examples"][0]
    example["tags"]["toxicity"]["score"] = 1.5
    with pytest.raises(ValidationError):
        TaggedComment.model_validate_json(json.dumps(example))
