"""The texts of comments and tagged comments that come as JSON, one a line."""

from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

from consumer.errors import ReaderError

_REMEDY = "give one comment or tagged comment a line, as JSON, such as `moderate watch --json` prints"


def event_texts(lines: Iterable[bytes], source: str) -> list[str]:
    """Return the text of every line that is not blank; `source` names in errors where the lines come from.

    Raises `ReaderError` for a line that is not a JSON object with a text, and where there is no line at all.
    """
    texts = [_text(line, f"line {number} of {source}") for number, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise ReaderError(f"{source} is empty; {_REMEDY}.")
    return texts


def _text(line: bytes, place: str) -> str:
    try:
        event: Any = from_json(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and isinstance(event.get("comment"), dict):
        event = event["comment"]
        if event.get("text") is None:
            raise ReaderError(
                f"{place} is a tagged comment without its text, because RESULTS_INCLUDE_TEXT is false where it was "
                "tagged; give the text itself."
            )
    text = event.get("text") if isinstance(event, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ReaderError(f"{place} holds no text; {_REMEDY}.")
    return text
