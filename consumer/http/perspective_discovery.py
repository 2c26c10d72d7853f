"""The discovery document, from which Google's client libraries learn at run time which methods there are and where."""

from typing import Any

METHODS = {"analyze": "AnalyzeComment", "suggestscore": "SuggestCommentScore"}

QUERY_PARAMETERS = ("key", "alt", "prettyPrint", "fields", "quotaUser", "$.xgafv")
"""What the libraries add to every URL by themselves, or let their user add. `key` is looked at, the others are not."""


def discovery_document(root_url: str) -> dict[str, Any]:
    """The document for the API at `root_url`, which ends in a slash.

    Requests and answers are described as objects of anything: the libraries do not check them, and /openapi.json says
    what is in them.
    """
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "commentanalyzer:v1alpha1",
        "name": "commentanalyzer",
        "version": "v1alpha1",
        "title": "Perspective API, answered by the comment moderation stream",
        "protocol": "rest",
        "rootUrl": root_url,
        "servicePath": "",
        "baseUrl": root_url,
        "basePath": "",
        "batchPath": "batch",
        "parameters": {name: {"type": "string", "location": "query"} for name in QUERY_PARAMETERS},
        "schemas": {
            f"{name}{kind}": {"id": f"{name}{kind}", "type": "object", "additionalProperties": {"type": "any"}}
            for name in METHODS.values()
            for kind in ("Request", "Response")
        },
        "resources": {"comments": {"methods": {method: _method(method, name) for method, name in METHODS.items()}}},
    }


def _method(method: str, name: str) -> dict[str, Any]:
    return {
        "id": f"commentanalyzer.comments.{method}",
        "httpMethod": "POST",
        "path": f"v1alpha1/comments:{method}",
        "flatPath": f"v1alpha1/comments:{method}",
        "parameters": {},
        "parameterOrder": [],
        "request": {"$ref": f"{name}Request"},
        "response": {"$ref": f"{name}Response"},
    }
