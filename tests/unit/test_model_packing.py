from hypothesis import given
from hypothesis import strategies as st

from consumer.model.packing import pack

lengths_of_texts = st.lists(st.integers(1, 512), max_size=200)


@given(lengths_of_texts, st.integers(1, 4096))
def test_every_text_is_in_exactly_one_micro_batch(lengths: list[int], budget: int) -> None:
    assert sorted(index for batch in pack(lengths, budget) for index in batch) == list(range(len(lengths)))


@given(lengths_of_texts, st.integers(1, 4096))
def test_only_a_text_alone_may_exceed_the_budget(lengths: list[int], budget: int) -> None:
    for batch in pack(lengths, budget):
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= budget or len(batch) == 1


@given(lengths_of_texts)
def test_texts_of_like_length_share_a_micro_batch(lengths: list[int]) -> None:
    packed = [lengths[index] for batch in pack(lengths, 1024) for index in batch]
    assert packed == sorted(lengths)


def test_a_budget_that_all_texts_fit_makes_one_micro_batch() -> None:
    assert pack([4, 2, 3], 12) == [[1, 2, 0]]
