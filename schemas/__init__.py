"""The event contracts of the comment moderation stream. They need pydantic and nothing else of the project."""

from schemas.comment import MAX_TEXT_CHARACTERS, Comment
from schemas.dead_letter import DeadLetterHeaders, DeadLetterReason, ReplayReceipt
from schemas.feedback import CorrectedLabels, Feedback
from schemas.tagged import (
    SCHEMA_VERSION,
    Action,
    AnsweredBy,
    CommentInEvent,
    Decision,
    ModelInfo,
    PolicyInfo,
    Prediction,
    Source,
    Tag,
    TaggedComment,
)

__all__ = [
    "MAX_TEXT_CHARACTERS",
    "SCHEMA_VERSION",
    "Action",
    "AnsweredBy",
    "Comment",
    "CommentInEvent",
    "CorrectedLabels",
    "DeadLetterHeaders",
    "DeadLetterReason",
    "Decision",
    "Feedback",
    "ModelInfo",
    "PolicyInfo",
    "Prediction",
    "ReplayReceipt",
    "Source",
    "Tag",
    "TaggedComment",
]
