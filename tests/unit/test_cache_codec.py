import struct
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.answer import Answer
from consumer.cache.codec import SUM_TOLERANCE, AnswerCodec
from consumer.model.calibration import Calibration
from consumer.model.doubt import LANGUAGE, doubted
from consumer.model.labels import Activation, TagGroup, TagGroups
from consumer.model.scores import Scoring

SECRET = "secret"
KEY = b"moderate:0123456789ab:" + bytes(range(16))
score = st.floats(0, 1, width=32)
answers = st.builds(Answer, st.tuples(score, score, score, score), st.booleans())
ANSWER = Answer((0.125, 0.5, 0.375, 0.75), False)
logits = st.floats(-200, 200, width=32)


def codec(secret: str = SECRET, score_count: int = 4, competing: Sequence[slice] = ()) -> AnswerCodec:
    return AnswerCodec(score_count, secret, competing)


def of_kinds(kinds: Sequence[tuple[Activation, int]]) -> TagGroups:
    """Tag groups of so many labels each, with the columns one after the other."""
    columns = iter(range(sum(count for _, count in kinds)))
    return TagGroups(
        tuple(
            TagGroup(
                f"g{place}", activation, tuple(f"l{label}" for label in range(count)), tuple(islice(columns, count))
            )
            for place, (activation, count) in enumerate(kinds)
        )
    )


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


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), -0.0, -1e-40, -0.01, 1.0000001, 1.01])
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


@given(st.integers(0, 2**32 - 1))
def test_any_32_bits_are_a_score_in_0_to_1_or_a_miss(bits: int) -> None:
    body = struct.pack("<BB", 1, 0) + struct.pack("<4I", *(struct.unpack("<I", struct.pack("<f", 0.5)) * 3), bits)
    found = codec().decode(KEY, body + codec()._checksum(KEY, body))
    [value] = struct.unpack("<f", struct.pack("<I", bits))
    assert (found is not None) == (0.0 <= value <= 1.0 and bits < 2**31)


@pytest.mark.parametrize(
    "forged", [(0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 0.0), (0.9, 0.05, 0.04, 0.0), (0.5, 0.5, 3 * SUM_TOLERANCE, 0.0)]
)
def test_a_softmax_that_does_not_sum_to_one_is_a_miss_though_the_checksum_is_right(forged: tuple[float, ...]) -> None:
    reader = codec(secret="", competing=[slice(0, 3)])
    assert reader.decode(KEY, reader.encode(KEY, Answer(forged, False))) is None
    assert codec(secret="").decode(KEY, reader.encode(KEY, Answer(forged, False))) is not None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["softmax", "sigmoid"]), st.integers(1, 40)), min_size=1, max_size=4), st.data()
)
def test_what_any_model_says_of_any_logits_is_no_miss(kinds: list[tuple[Activation, int]], data: st.DataObject) -> None:
    groups = of_kinds(kinds)
    rows = data.draw(st.lists(logits, min_size=groups.score_count, max_size=groups.score_count))
    [given_scores] = Scoring(groups, Calibration()).scores(torch.tensor([rows], dtype=torch.float32))
    cache = codec(score_count=groups.score_count, competing=groups.competing)
    found = cache.decode(KEY, cache.encode(KEY, Answer(tuple(given_scores), False)))
    assert found == Answer(tuple(given_scores), False)


@settings(deadline=None)  # the first text of all reads the words of languages
@given(st.lists(logits, min_size=4, max_size=4), st.text())
def test_what_is_doubted_because_of_its_language_is_no_miss(row: list[float], text: str) -> None:
    network = of_kinds([("softmax", 3), ("sigmoid", 1)])
    groups = TagGroups((*network.groups, LANGUAGE))
    [given_scores] = Scoring(network, Calibration()).scores(torch.tensor([row], dtype=torch.float32))
    answer = doubted(text, Answer(tuple(given_scores), False), groups)
    assert isinstance(answer, Answer)
    cache = codec(score_count=groups.score_count, competing=groups.competing)
    assert cache.decode(KEY, cache.encode(KEY, answer)) is not None


@pytest.mark.parametrize("labels", [2, 28, 1_000, 10_000])
def test_rounding_makes_no_answer_of_many_labels_a_miss(labels: int) -> None:
    groups = of_kinds([("softmax", labels)])
    cache = codec(score_count=labels, competing=groups.competing)
    rows = np.random.default_rng(18).standard_normal((20, labels)).astype(np.float32)
    for spread in (0.01, 1.0, 30.0):
        for given_scores in Scoring(groups, Calibration()).scores(torch.from_numpy(rows * np.float32(spread))):
            assert cache.decode(KEY, cache.encode(KEY, Answer(tuple(given_scores), True))) is not None


def test_only_the_scores_of_softmax_groups_compete() -> None:
    groups = of_kinds([("sigmoid", 2), ("softmax", 3), ("softmax", 2)])
    assert TagGroups((*groups.groups, LANGUAGE)).competing == [slice(2, 5), slice(5, 7)]
