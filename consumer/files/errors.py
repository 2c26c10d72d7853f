"""What is raised where a file cannot be used."""

from consumer.errors import ReaderError


class FileError(ReaderError):
    """The file cannot be used; the message names it, the line where one is at fault, and the remedy."""
