"""The lines of a file, numbered, decoded, and none of them without bound."""

import io
import re
from collections.abc import Iterator

from consumer.files.errors import FileError
from consumer.files.opening import OpenedBytes

MAX_ROW_CHARACTERS = 32_000_000
"""More than any broker takes as one record; an unclosed quote must not read ten gigabytes into memory."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Lines(Iterator[str]):
    """The lines with their ends as they are; `number` is that of the last one read, the first is 1.

    Bytes that are not UTF-8 become surrogates (PEP 383), unless `strict`, or in UTF-16: then they are refused.
    Raises FileError for those, for a line that is too long, and where the file cannot be read on.
    """

    def __init__(self, opened: OpenedBytes, path: str, newline: str, *, strict: bool) -> None:
        self.path = path
        self.number = 0
        self._strict = strict
        errors = "surrogateescape" if opened.encoding == "utf-8-sig" else "strict"
        self._text = io.TextIOWrapper(opened.content, opened.encoding, errors, newline)

    def __next__(self) -> str:
        try:
            line = self._text.readline(MAX_ROW_CHARACTERS + 1)
        except UnicodeDecodeError as error:
            raise FileError(
                f"{self.path} is {error.encoding.upper()[:6]} up to line {self.number} and broken soon after "
                f"({error.reason}); save it as UTF-8."
            ) from None
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_ROW_CHARACTERS:
            raise FileError(
                f"{self.path}:{self.number} is longer than {MAX_ROW_CHARACTERS:,} characters; give one comment a line."
            )
        if self._strict and (wrong := _NOT_UTF8.search(line)):
            place = len(line[: wrong.start()].encode("utf-8", "surrogateescape")) + 1
            raise FileError(
                f"{self.path}:{self.number} is not UTF-8: byte {place} of the line is 0x{ord(wrong[0]) - 0xDC00:02X}; "
                "save the file as UTF-8."
            )
        return line
