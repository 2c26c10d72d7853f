"""A moment as a person types it: RFC 3339 with an offset."""

from datetime import UTC, datetime, timedelta

import typer
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from schemas.timestamp import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_ms(text: str) -> int:
    """Milliseconds since 1970, as Kafka counts; earlier moments are 0. Raises `typer.BadParameter`."""
    try:
        moment: datetime = TypeAdapter(Timestamp).validate_json(to_json(text))
    except ValidationError:
        raise typer.BadParameter(
            f"{text!r} is no RFC 3339 time with an offset, such as 2026-03-01T09:30:00Z."
        ) from None
    return max(0, (moment - EPOCH) // timedelta(milliseconds=1))


def moment_text(time_ms: int) -> str:
    """The same moment in UTC, such as 2026-03-01T09:30:00.291Z."""
    moment = EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds").replace("+00:00", "Z")
