"""Records of moderators' corrections."""

import json
from datetime import UTC, datetime, timedelta

from consumer.training.feedback_record import FeedbackRecord
from schemas.feedback import EXAMPLE_FEEDBACK

EXAMPLE = json.dumps(EXAMPLE_FEEDBACK).encode()

SENT = datetime(2026, 3, 2, tzinfo=UTC)
SENT_MS = int(SENT.timestamp() * 1000)
"""When the records of the tests were written: after what `value` says, and before now."""


def value(comment_id: str, text: str, at_s: int, moderator: str = "m-1", **labels: str) -> bytes:
    at = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=at_s)).isoformat()
    record = {"comment_id": comment_id, "text": text, "labels": labels, "moderator_id": moderator, "at": at}
    return json.dumps(record).encode()


def record(
    offset: int, raw: bytes | None, partition: int = 0, timestamp_ms: int | None = SENT_MS, topic: str = "feedback"
) -> FeedbackRecord:
    return FeedbackRecord(topic, partition, offset, timestamp_ms, raw)
