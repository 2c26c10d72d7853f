"""`Content-Encoding: gzip` of requests, unpacked piece by piece, so that a bomb never lies unpacked in memory."""

import zlib
from collections.abc import Iterator

from consumer.http.errors import ApiError

PIECE_BYTES = 65_536
MOST_MEMBERS = 1_024
"""Of one body; each costs a decompressor. bgzip makes one of 64 KiB, so 64 in 4 MiB."""
GZIP = 16 + zlib.MAX_WBITS


class Plain:
    """A body that came as it is."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` adds to the body."""
        yield chunk

    def end(self) -> None:
        """The last chunk has been given."""


class Gzip:
    """A body of gzip members one after the other, as RFC 1952 allows."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)
        self._members = 1

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` adds to the body. Raises `ApiError` where it is no gzip."""
        while True:
            if self._member.eof:
                chunk = chunk.lstrip(b"\0")  # gzip itself pads with them
                if not chunk:
                    return
                self._next_member()
            try:
                piece = self._member.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                raise ApiError(400, "The body is not what its Content-Encoding says: it is no sound gzip.") from None
            if piece:
                yield piece
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if not chunk and len(piece) < PIECE_BYTES:  # zlib may hold output back that has no input left
                return

    def end(self) -> None:
        """Raise `ApiError` where the body ends in the middle."""
        if not self._member.eof:
            raise ApiError(400, "The body's gzip ends in the middle; send all of it.")

    def _next_member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise ApiError(400, f"The body has more than {MOST_MEMBERS:,} gzip members; pack it as one.")
        self._member = zlib.decompressobj(GZIP)


def unpacking(content_encoding: bytes) -> Plain | Gzip:
    """What reads a body of this encoding. Raises `ApiError` where it is not known here."""
    match content_encoding.strip().lower():
        case b"" | b"identity":
            return Plain()
        case b"gzip" | b"x-gzip":
            return Gzip()
        case _:
            raise ApiError(
                415,
                "The body's Content-Encoding is not taken here; send it as gzip, or as it is (identity).",
                headers={"Accept-Encoding": "gzip, identity"},
            )
