"""The one error of the model room, and what others say of theirs."""

from consumer.errors import ReaderError

_MOST_CHARACTERS = 300


class ModelError(ReaderError):
    """A model that cannot be loaded or run; the message names the model, what is wrong and what to do about it."""


def first_line(error: Exception) -> str:
    """Return what an error says, in its first line and without the full stop."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))


def printable(text: str) -> str:
    """Return `text` as a terminal and a log can show it: what a model's files say may hold escape sequences."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]}…"
