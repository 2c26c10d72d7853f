from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.training import similar
from consumer.training.similar import groups_of_similar, similar_to_any

# Few words and repeated ones, so that many of the texts drawn are near-duplicates and some only nearly so.
texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join), max_size=12)


def are_similar(left: str, right: str) -> bool:
    one, other = ({*pairwise(["<", *text.split(), ">"])} if text else set() for text in (left, right))
    return bool(one and other) and 10 * len(one & other) >= 7 * len(one | other)


def chained(items: Sequence[str]) -> list[int]:
    first = list(range(len(items)))
    for i, left in enumerate(items):
        for j, right in enumerate(items):
            if are_similar(left, right):
                low, high = sorted((first[i], first[j]))
                first = [low if group == high else group for group in first]
    return first


@settings(deadline=None)
@given(items=texts)
def test_groups_are_those_found_by_comparing_every_text_with_every_other(items: list[str]) -> None:
    assert groups_of_similar(items).tolist() == chained(items)


@settings(deadline=None)
@given(items=texts, others=texts)
def test_a_text_is_found_exactly_when_one_of_the_others_is_similar(items: list[str], others: list[str]) -> None:
    assert similar_to_any(items, others).tolist() == [any(are_similar(a, b) for b in others) for a in items]


@settings(deadline=None)
@given(items=texts)
def test_chunks_of_any_size_find_the_same(items: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_CHUNK_CANDIDATES", 1)
        assert groups_of_similar(items).tolist() == chained(items)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("You are SO right!", "@user: you are so right http", True),
        ("a b c d e f g h i j k", "a b c d e x g h i j k", True),  # one word of eleven: 10 pairs of 14
        ("a b c d e f g h i j", "a b c d e x g h i j", False),  # one word of ten: 9 pairs of 13
        ("a b c d e f", "f e d c b a", False),
        (":)", ":(", False),
        ("@user http", "@user @user http", False),
        ("कि है", "का है", False),  # vowel signs are part of the word
    ],
)
def test_one_changed_word_of_eleven_is_near_and_marks_and_mentions_do_not_count(
    left: str, right: str, expected: bool
) -> None:
    assert similar_to_any([left], [right]).tolist() == [expected]


def test_no_texts_are_no_groups() -> None:
    assert groups_of_similar([]).tolist() == []
    assert similar_to_any([], ["a"]).tolist() == []
    assert similar_to_any(["a"], []).tolist() == [False]
