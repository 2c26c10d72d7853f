"""Headers that say two things at once are refused: a proxy before this server may have read the other one."""

from starlette.types import Scope

from consumer.http.errors import ApiError

ONCE = (
    "authorization",
    "content-encoding",
    "content-type",
    "expect",
    "origin",
    "sec-fetch-site",
    "x-goog-api-key",
    "x-request-timeout-ms",
)
"""Of two one would have to be chosen. h11 itself refuses two `Host`, and `Content-Length` that differ."""


def check_head(scope: Scope) -> None:
    """Raise `ApiError` where the head of a request is ambiguous."""
    names = [name for name, _ in scope["headers"]]
    for name in ONCE:
        if names.count(name.encode()) > 1:
            raise ApiError(400, f"The header {name.title()} came twice; send it once.")


def header(scope: Scope, name: bytes) -> bytes:
    """The header's value; empty for none."""
    value: bytes = dict(scope["headers"]).get(name, b"")
    return value
