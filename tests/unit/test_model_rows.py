"""Several texts in a row: each is scored as if it were alone."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from consumer.model.buckets import Buckets
from consumer.model.graphs import GraphedNetwork
from consumer.model.openvino_network import OpenVinoNetwork
from consumer.model.packing import ROW_TOKENS, SHORT_PASS_ROW_TOKENS, WIDTH_STEPS, Widths, micro_batches, share
from consumer.model.rows import OneTextARow, SharedRows, agrees, in_rows, lay_out
from tests.host_lane import HostLane

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "num_labels": 4,
}
DISTIL: dict[str, Any] = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}

texts_in_rows = st.lists(
    st.lists(st.lists(st.integers(1, 39), min_size=1, max_size=24), min_size=1, max_size=4), min_size=1, max_size=5
)
lengths_of_texts = st.lists(st.integers(1, 512), max_size=200)


def bert() -> Any:
    torch.manual_seed(0)
    network: Any = BertForSequenceClassification(BertConfig(**SIZES))
    network.eval()
    torch.nn.init.normal_(network.classifier.weight, std=2.0)
    return network


def scores(runner: Any, rows: Sequence[Sequence[Sequence[int]]], width: int) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = runner.run(*lay_out(rows, width, pad_id=0))
    return found


@pytest.fixture(scope="module", params=["torch", "openvino", "graphs"])
def runner(request: pytest.FixtureRequest) -> Any:
    shared = in_rows(bert(), longest=24, pad_id=0)
    assert isinstance(shared, SharedRows)
    return running_by(request.param, shared)


def running_by(backend: str, network: OneTextARow) -> Any:
    if backend == "openvino":
        return OpenVinoNetwork(network, most_tokens=24, pad_id=0, last_id=39)
    if backend == "graphs":
        longest = 128 if network.shares_rows else 24
        buckets = Buckets(longest, max_batch_tokens=512, shares_rows=network.shares_rows)
        return GraphedNetwork(network, HostLane(), buckets, pad_id=0)
    return network


@settings(max_examples=60, deadline=None)
@given(texts_in_rows, st.integers(0, 9))
def test_a_text_has_the_scores_it_has_alone_whoever_shares_its_row(
    runner: Any, rows: list[list[list[int]]], padding: int
) -> None:
    found = scores(runner, rows, max(sum(map(len, row)) for row in rows) + padding)
    with torch.inference_mode():
        wanted = [bert_alone(text) for row in rows for text in row]
    torch.testing.assert_close(found, torch.cat(wanted), rtol=0, atol=1e-4)


_ALONE = bert()


def bert_alone(text: list[int]) -> torch.Tensor:
    logits: torch.Tensor = _ALONE(input_ids=torch.tensor([text])).logits
    return logits


def test_rows_are_laid_out_with_each_texts_own_number_positions_and_first_token() -> None:
    laid_out = lay_out([[[5, 6, 7], [8, 9]], [[4]]], 6, pad_id=1)
    assert laid_out.input_ids.tolist() == [[5, 6, 7, 8, 9, 1], [4, 1, 1, 1, 1, 1]]
    assert laid_out.text_numbers.tolist() == [[1, 1, 1, 2, 2, 0], [1, 0, 0, 0, 0, 0]]
    assert laid_out.position_ids.tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 0, 0, 0, 0]]
    assert laid_out.firsts.tolist() == [0, 3, 6]


@pytest.mark.parametrize("backend", ["torch", "openvino", "graphs"])
@pytest.mark.parametrize(
    "network",
    [
        lambda: RobertaForSequenceClassification(RobertaConfig(**SIZES | {"max_position_embeddings": 26})),
        lambda: DistilBertForSequenceClassification(DistilBertConfig(**SIZES | DISTIL)),
    ],
    ids=["roberta", "distilbert"],
)
def test_other_networks_have_a_row_for_each_text(network: Any, backend: str) -> None:
    classifier = network().eval()
    running: Any = in_rows(classifier, longest=24, pad_id=0)
    assert isinstance(running, OneTextARow)
    assert not running.shares_rows
    assert agrees(running_by(backend, running), classifier, longest=24, pad_id=0)


def test_a_bert_whose_scores_depend_on_the_place_in_the_row_has_a_row_for_each_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = bert()
    assert isinstance(in_rows(network, longest=24, pad_id=0), SharedRows)
    embeddings = network.bert.embeddings
    embed = embeddings.forward
    monkeypatch.setattr(embeddings, "forward", lambda **inputs: embed(**inputs | {"position_ids": None}))
    assert type(in_rows(network, longest=24, pad_id=0)) is OneTextARow


def test_a_bert_that_refuses_a_text_has_a_row_for_each_text_and_says_why() -> None:
    network = bert()
    with capture_logs() as logs:
        assert type(in_rows(network, longest=25, pad_id=0)) is OneTextARow  # it has 24 positions
    assert [(line["event"], line["reason"]) for line in logs] == [("rows_not_shared", "RuntimeError")]


def test_running_out_of_memory_is_not_taken_for_a_bert_that_cannot_share_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    network = bert()
    monkeypatch.setattr(network.bert, "forward", fail)
    with pytest.raises(torch.OutOfMemoryError):
        in_rows(network, longest=24, pad_id=0)


@pytest.mark.parametrize("pad_id", [0, 3, 39])
def test_padding_is_hidden_whichever_token_it_is(pad_id: int) -> None:
    torch.manual_seed(0)
    network: Any = RobertaForSequenceClassification(RobertaConfig(**SIZES | {"max_position_embeddings": 70}))
    network.config.pad_token_id = pad_id
    network.eval()
    assert agrees(OneTextARow(network), network, longest=24, pad_id=pad_id)


def test_attention_that_would_add_a_mask_of_true_and_false_to_its_scores_never_sees_one() -> None:
    build: Any = BertForSequenceClassification._from_config
    network = build(BertConfig(**SIZES), attn_implementation="eager").eval()
    assert type(in_rows(network, longest=24, pad_id=0)) is OneTextARow


@given(
    lengths_of_texts, st.integers(16, 4_096), st.integers(0, 1_000), st.booleans(), st.sampled_from([1, WIDTH_STEPS])
)
@example([1, 16], 17, 0, True, WIDTH_STEPS)  # together they fill the budget, but not once they are padded
@example([17, 1], 16, 0, True, WIDTH_STEPS)  # the long one exceeds it, and shall be alone
def test_every_text_is_in_exactly_one_row(
    lengths: list[int], budget: int, pass_tokens: int, shares: bool, steps: int
) -> None:
    widths = Widths(512, steps)
    batches = micro_batches(
        lengths, widths=widths, max_batch_tokens=budget, pass_tokens=pass_tokens, shares_rows=shares
    )
    assert sorted(index for batch in batches for row in batch for index in row) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * widths.padded(max(sum(lengths[index] for index in row) for row in batch))
        assert padded <= budget or sum(map(len, batch)) == 1


@given(lengths_of_texts, st.integers(16, 4_096), st.integers(8, 512))
def test_a_row_is_as_long_as_its_longest_text_padded_or_as_rows_may_become(
    lengths: list[int], budget: int, most_tokens: int
) -> None:
    lengths = [min(length, most_tokens) for length in lengths]
    most = ROW_TOKENS if sum(lengths) > budget else SHORT_PASS_ROW_TOKENS
    widths = Widths(most_tokens)
    for row in share(lengths, widths, budget):
        longest = max(lengths[index] for index in row)
        assert sum(lengths[index] for index in row) <= max(min(most, most_tokens, budget), widths.padded(longest))


def test_few_texts_are_spread_over_rows_that_are_equally_long() -> None:
    rows = share([20, 30, 40, 50, 20], Widths(512), 1_024)
    assert sorted(sum([20, 30, 40, 50, 20][index] for index in row) for row in rows) == [80, 80]


def test_many_short_texts_fill_their_rows() -> None:
    lengths = [10 + number % 30 for number in range(400)]
    rows = share(lengths, Widths(512), 1_024)
    assert sum(lengths) > 0.97 * 64 * len(rows)
