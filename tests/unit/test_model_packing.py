from hypothesis import given
from hypothesis import strategies as st

from consumer.model.packing import WIDTH_STEPS, Widths, pack

lengths_of_texts = st.lists(st.integers(1, 512), max_size=200)


pass_costs = st.integers(0, 1_000)
NEVER = 1_000_000


@given(lengths_of_texts, st.integers(1, 4096), pass_costs)
def test_every_text_is_in_exactly_one_micro_batch(lengths: list[int], budget: int, pass_tokens: int) -> None:
    assert sorted(index for batch in pack(lengths, budget, pass_tokens) for index in batch) == list(range(len(lengths)))


@given(lengths_of_texts, st.integers(1, 4096), pass_costs)
def test_only_a_text_alone_may_exceed_the_budget(lengths: list[int], budget: int, pass_tokens: int) -> None:
    for batch in pack(lengths, budget, pass_tokens):
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= budget or len(batch) == 1


@given(lengths_of_texts, pass_costs)
def test_texts_of_like_length_share_a_micro_batch(lengths: list[int], pass_tokens: int) -> None:
    packed = [lengths[index] for batch in pack(lengths, 1024, pass_tokens) for index in batch]
    assert packed == sorted(lengths)


@given(lengths_of_texts, pass_costs)
def test_no_micro_batch_is_padded_by_more_than_a_pass_costs_and_its_last_text(
    lengths: list[int], pass_tokens: int
) -> None:
    for batch in pack(lengths, NEVER, pass_tokens):
        tokens = [lengths[index] for index in batch]
        assert len(tokens) * max(tokens) - sum(tokens) <= pass_tokens


def test_a_long_text_does_not_widen_the_short_ones() -> None:
    assert pack([10] * 20 + [200], 8_192, pass_tokens=30) == [list(range(20)), [20]]
    assert pack([10] * 20 + [11], 8_192, pass_tokens=30) == [list(range(21))]


def test_texts_beyond_a_round_number_go_into_the_next_micro_batch() -> None:
    assert pack([8] * 9 + [12] * 8 + [24], NEVER, pass_tokens=40) == [list(range(16)), [16, 17]]
    assert pack([8] * 37, 36 * 8, pass_tokens=30) == [list(range(32)), list(range(32, 37))]


def test_texts_beyond_a_round_number_are_no_micro_batch_of_their_own() -> None:
    assert pack([8] * 37 + [200], NEVER, pass_tokens=30) == [list(range(37)), [37]]
    assert pack([8] * 127 + [512], 2_048, pass_tokens=100) == [list(range(127)), [127]]


@given(st.integers(0, 300))
def test_full_micro_batches_of_texts_that_are_alike_have_one_shape(texts: int) -> None:
    batches = pack([16] * texts, 1024, pass_tokens=100)
    assert [len(batch) for batch in batches[:-1]] == [64] * (len(batches) - 1)


@given(st.integers(1, 512), st.integers(1, 512), st.sampled_from([1, 2, WIDTH_STEPS]))
def test_a_row_is_padded_by_a_step_or_three_tokens_and_never_beyond_what_the_model_takes(
    tokens: int, most_tokens: int, steps: int
) -> None:
    padded = Widths(most_tokens, steps).padded(min(tokens, most_tokens))
    assert min(tokens, most_tokens) <= padded <= most_tokens
    assert padded - tokens <= max(3, tokens / steps)


def test_a_budget_that_all_texts_fit_makes_one_micro_batch() -> None:
    assert pack([4, 2, 3], 12, NEVER) == [[1, 2, 0]]
