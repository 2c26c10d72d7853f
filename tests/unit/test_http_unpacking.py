"""gzip bodies in whatever pieces they come."""

import gzip
import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.http.errors import ApiError
from consumer.http.unpacking import PIECE_BYTES, Gzip


def unpacked(packed: bytes, cuts: list[int]) -> bytes:
    ends = sorted(min(cut, len(packed)) for cut in cuts)
    body = Gzip()
    pieces = [
        piece for start, end in itertools.pairwise([0, *ends, len(packed)]) for piece in body.pieces(packed[start:end])
    ]
    body.end()
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@given(
    members=st.lists(st.binary(max_size=500) | st.integers(0, 300_000).map(bytes), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 2_000), max_size=6),
)
def test_what_was_packed_comes_out_whole_however_it_is_cut(members: list[bytes], cuts: list[int]) -> None:
    packed = b"".join(map(gzip.compress, members))
    assert unpacked(packed, cuts) == b"".join(members)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_whatever_comes_is_unpacked_as_gzip_does_or_refused(sent: bytes, cuts: list[int]) -> None:
    with pytest.raises(ApiError):
        unpacked(sent, cuts)


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_body_is_never_taken_for_another_one(text: bytes, place: int, byte: int) -> None:
    packed = bytearray(gzip.compress(text, mtime=0))
    packed[10 + place % (len(packed) - 10)] = byte  # the header has fields that mean nothing
    with suppress(ApiError):
        assert unpacked(bytes(packed), []) == text
