import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.answer import Answer
from consumer.cache.codec import AnswerCodec

SECRET = "secret"
KEY = b"moderate:0123456789ab:" + bytes(range(16))
score = st.floats(0, 1, width=32)
answers = st.builds(Answer, st.tuples(score, score, score, score), st.booleans())
ANSWER = Answer((0.125, 0.5, 0.375, 0.75), False)


def codec(secret: str = SECRET, score_count: int = 4) -> AnswerCodec:
    return AnswerCodec(score_count, secret)


@given(st.binary(), answers)
def test_what_was_encoded_is_decoded(key: bytes, answer: Answer) -> None:
    assert codec().decode(key, codec().encode(key, answer)) == answer


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_bytes_are_a_miss(key: bytes, value: bytes) -> None:
    assert codec().decode(key, value) is None


@given(answers, st.data())
def test_any_change_of_a_value_is_a_miss(answer: Answer, data: st.DataObject) -> None:
    value = codec().encode(KEY, answer)
    at = data.draw(st.integers(0, len(value) - 1))
    changed = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    assert codec().decode(KEY, changed) is None


@given(answers, st.integers(0, 25), st.binary(min_size=1, max_size=5))
def test_a_value_too_short_or_too_long_is_a_miss(answer: Answer, length: int, more: bytes) -> None:
    value = codec().encode(KEY, answer)
    assert codec().decode(KEY, value[:length]) is None
    assert codec().decode(KEY, value + more) is None


def test_a_value_under_another_key_is_a_miss() -> None:
    assert codec().decode(KEY[:-1] + b"x", codec().encode(KEY, ANSWER)) is None


@pytest.mark.parametrize("reader", [codec(secret=""), codec(secret="another"), codec(score_count=3)])
def test_a_value_of_another_secret_or_number_of_scores_is_a_miss(reader: AnswerCodec) -> None:
    assert reader.decode(KEY, codec().encode(KEY, ANSWER)) is None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.01, 1.01])
def test_a_score_that_is_none_is_a_miss_though_the_checksum_is_right(wrong: float) -> None:
    value = codec().encode(KEY, Answer((0.5, 0.5, wrong, 0.5), False))
    assert codec().decode(KEY, value) is None


def test_a_format_or_flag_of_the_future_is_a_miss_though_the_checksum_is_right() -> None:
    for head in (b"\x02\x00", b"\x01\x02"):
        body = head + struct.pack("<4f", *ANSWER.scores)
        value = body + codec()._checksum(KEY, body)
        assert codec().decode(KEY, value) is None


def test_a_value_is_small() -> None:
    assert len(codec().encode(KEY, ANSWER)) == 26
