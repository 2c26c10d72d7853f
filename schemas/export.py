"""The contracts as files: JSON Schemas of the events, and an AsyncAPI 3 document of the topics."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.comment import Comment
from schemas.dead_letter import DeadLetterHeaders, ReplayReceipt
from schemas.feedback import Feedback
from schemas.tagged import SCHEMA_VERSION, TaggedComment

EVENTS: dict[str, type[BaseModel]] = {
    "comment": Comment,
    "tagged-comment": TaggedComment,
    "dead-letter-headers": DeadLetterHeaders,
    "dead-letter-receipt-headers": ReplayReceipt,
    "feedback": Feedback,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KEY = {"type": "string", "description": "The producer's key, else the comment's id."}
_HEADERS = {
    "type": "object",
    "description": "The headers of the comment's record travel along, W3C trace context included.",
    "properties": {"traceparent": {"type": "string"}, "tracestate": {"type": "string"}},
    "additionalProperties": True,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each event by its name, as a subscriber or a producer sees it."""
    return {
        name: {"$schema": _DIALECT, **model.model_json_schema(by_alias=True, mode="validation")}
        for name, model in EVENTS.items()
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: the four topics under their default names, seen from the consumer."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Comment moderation stream",
            "version": SCHEMA_VERSION,
            "description": "Comments in, tagged comments out; what cannot be processed is a dead letter.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "comments": _channel("comments", "comment"),
            "tagged": _channel("comments.tagged", "tagged-comment"),
            "deadLetter": _channel("comments.dead-letter", "dead-letter", "dead-letter-receipt"),
            "feedback": _channel("comments.feedback", "feedback"),
        },
        "operations": {
            "readComments": _operation("receive", "comments", "Read comments to tag."),
            "publishTagged": _operation("send", "tagged", "Publish each comment with its tags and the decision."),
            "publishDeadLetters": _operation("send", "deadLetter", "Publish records that cannot be processed."),
            "collectFeedback": _operation("receive", "feedback", "Read moderators' corrections."),
        },
        "components": {
            "messages": {
                "comment": _message("comment", "A comment as its producer sends it."),
                "tagged-comment": _message("tagged-comment", "The comment with its tags and the decision."),
                "dead-letter": {
                    "summary": "A record that cannot be processed: its key and value as they came.",
                    "contentType": "application/octet-stream",
                    "headers": {"$ref": "#/components/schemas/dead-letter-headers"},
                    "payload": {"description": "The record's value byte for byte; empty for a tombstone."},
                    "bindings": {"kafka": {"key": {"description": "The record's key byte for byte."}}},
                },
                "dead-letter-receipt": {
                    "summary": "Not a dead letter: says which one was replayed. Subscribers of dead letters skip it.",
                    "contentType": "application/octet-stream",
                    "headers": {"$ref": "#/components/schemas/dead-letter-receipt-headers"},
                    "payload": {"description": "Always empty: it has no value, and no key either."},
                },
                "feedback": _message("feedback", "A moderator's correction of a tagged comment."),
            },
            "schemas": {name: _inlined(schema) for name, schema in json_schemas().items()},
        },
    }


def write(directory: Path) -> list[Path]:
    """Write every schema and the AsyncAPI document into `directory`; returns the files. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    documents = {f"{name}.schema.json": schema for name, schema in json_schemas().items()}
    documents["asyncapi.json"] = asyncapi()
    paths = []
    for name, document in documents.items():
        path = directory / name
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _channel(address: str, *messages: str) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _message(schema: str, summary: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "contentType": "application/json",
        "headers": _HEADERS,
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {"kafka": {"key": _KEY}},
    }


def _inlined(node: Any) -> Any:
    """The schema with its `$defs` put where they are used: inside one document the references would point elsewhere."""
    definitions = node.get("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(element) for element in part]
        if not isinstance(part, dict):
            return part
        if isinstance(reference := part.get("$ref"), str):
            return inline(
                {**definitions[reference.rsplit("/", 1)[-1]], **{k: v for k, v in part.items() if k != "$ref"}}
            )
        return {name: inline(value) for name, value in part.items() if name not in ("$defs", "$schema")}

    return inline(node)
