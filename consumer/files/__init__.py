"""Comments in files: the one reader of tables (CSV and its relatives), JSON lines and plain text for every command."""

from consumer.files.errors import FileError
from consumer.files.reading import InputFile, open_input, size_bytes

__all__ = ["FileError", "InputFile", "open_input", "size_bytes"]
