"""Records of moderators' corrections."""

import json
from datetime import UTC, datetime, timedelta

from schemas.feedback import EXAMPLE_FEEDBACK

EXAMPLE = json.dumps(EXAMPLE_FEEDBACK).encode()


def value(comment_id: str, text: str, at_s: int, moderator: str = "m-1", **labels: str) -> bytes:
    at = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=at_s)).isoformat()
    record = {"comment_id": comment_id, "text": text, "labels": labels, "moderator_id": moderator, "at": at}
    return json.dumps(record).encode()
