"""The one error of the model room, and what others say of theirs."""

from consumer.errors import ReaderError


class ModelError(ReaderError):
    """A model that cannot be loaded or run; the message names the model, what is wrong and what to do about it."""


def first_line(error: Exception) -> str:
    """Return what an error says, in its first line and without the full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
