"""From a path to decoded text: packed files are unpacked, the encoding is found, and what is no text is named."""

import codecs
import gzip
import io
import sys
from pathlib import Path
from typing import IO, NamedTuple

from consumer.files.errors import FileError

HEAD_BYTES = 65_536
"""What is looked at to find the encoding and the format; the rest of a file is streamed."""

_GZIP = b"\x1f\x8b"
_NO_TEXT = {
    b"PK\x03\x04": "an Excel file, or another zip archive; save the sheet as CSV (UTF-8)",
    b"PK\x05\x06": "an empty zip archive; give the file that should be in it",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as CSV (UTF-8)",
    b"PAR1": "a Parquet file; write it as CSV or as JSON lines",
    b"BZh": "packed by bzip2; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz; unpack it, or pack it by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it, or pack it by gzip",
    b"%PDF-": "a PDF; give the comments as text",
    b"SQLite format 3": "a database of SQLite; write the table as CSV: sqlite3 -header -csv",
}
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class OpenedBytes(NamedTuple):
    """A file that can be read: `source` is the file itself, `content` its unpacked bytes from the first on."""

    source: IO[bytes]
    content: io.BufferedReader
    head: bytes
    encoding: str


def open_bytes(path: str) -> OpenedBytes:
    """Open a file, or standard input for `-`. Raises FileError for what holds no text, OSError, EOFError, zlib.error.

    Of a pipe no more is awaited than its first line: what writes into it may do so comment by comment.
    """
    source = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115 - the reader of its rows closes it
    head, content = _head(source)
    if head.startswith(_GZIP):
        head, content = _head(gzip.GzipFile(fileobj=content))  # type: ignore[arg-type]
        if head.startswith(_GZIP):
            raise FileError(f"{path} is packed by gzip twice; unpack it once.")
    elif path.endswith(".gz") and head:
        raise FileError(f"{path} cannot be read: it is not packed by gzip; leave .gz out of its name.")
    for magic, what in _NO_TEXT.items():
        if head.startswith(magic):
            raise FileError(f"{path} is {what}.")
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), "utf-8-sig")
    if b"\0\0" in (head[0:4:2], head[1:4:2]) and encoding == "utf-8-sig":
        raise FileError(f"{path} is UTF-16 without a byte order mark, or no text; save it as UTF-8.")
    return OpenedBytes(source, content, head, encoding)


def _head(stream: IO[bytes]) -> tuple[bytes, io.BufferedReader]:
    """The first bytes, at least a line of them, and the stream with these bytes in it again."""
    head = b""
    while len(head) < HEAD_BYTES and b"\n" not in head and b"\r" not in head:
        part = stream.read1(HEAD_BYTES)  # type: ignore[attr-defined]
        if not part:
            break
        head += part
    return head, io.BufferedReader(_Rejoined(head, stream), HEAD_BYTES)


class _Rejoined(io.RawIOBase):
    """Bytes that were read already, and then the stream they came from."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is there, and wait only where nothing is."""
        part = self._head[: len(buffer)] or self._rest.read1(len(buffer))  # type: ignore[attr-defined]
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)
