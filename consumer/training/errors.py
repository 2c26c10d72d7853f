"""The one error of the training room."""

from consumer.errors import ReaderError


class TrainingError(ReaderError):
    """Input that cannot be trained on or evaluated; the message names the file, the line and the remedy."""
