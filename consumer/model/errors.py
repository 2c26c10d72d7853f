"""The one error of the model room."""

from consumer.errors import ReaderError


class ModelError(ReaderError):
    """A model that cannot be loaded or run; the message names the model, what is wrong and what to do about it."""
