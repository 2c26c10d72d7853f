"""The arithmetic of the benchmarks: turns, ratios, reach, agreement, and what is printed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from transformers import BertConfig, BertForSequenceClassification

from consumer.model.buckets import Buckets
from consumer.model.graphs import GraphedNetwork
from consumer.model.rows import in_rows
from consumer.terminal.bench_figures import measured
from tests.benchmarks import corpus, gpu
from tests.benchmarks.agreement import agreement
from tests.benchmarks.growth import growth
from tests.benchmarks.limits import flops_per_text
from tests.benchmarks.peers.tokens import batches, by_tokens
from tests.benchmarks.plot import draw
from tests.benchmarks.sampling import Figure, Point, Reach, fastest, in_turns, ratio
from tests.benchmarks.table import number, table
from tests.host_lane import HostLane


def test_contenders_take_turns() -> None:
    seen: list[str] = []

    def contender(name: str) -> float:
        seen.append(name)
        return float(len(seen))

    assert in_turns({"a": lambda: contender("a"), "b": lambda: contender("b")}, 2) == {"a": [1, 3], "b": [2, 4]}
    assert seen == ["a", "b", "a", "b"]


def test_a_ratio_is_taken_within_each_round() -> None:
    """The machine was twice as slow in the second round, for both."""
    assert ratio([100, 50, 90], [50, 25, 30]) == (2, 2, 3, 3)


@pytest.mark.parametrize(
    ("reach", "value", "reached"),
    [
        (Reach(0.92, 0.97), 0.97, "aim"),
        (Reach(0.92, 0.97), 0.95, "at least"),
        (Reach(0.92, 0.97), 0.9, "missed"),
        (Reach(2.0, 1.3), 1.3, "aim"),
        (Reach(2.0, 1.3), 1.9, "at least"),
        (Reach(2.0, 1.3), 2.1, "missed"),
    ],
)
def test_a_reach_goes_up_or_down(reach: Reach, value: float, reached: str) -> None:
    assert reach.reached(value) == reached


def test_the_fastest_is_the_one_with_the_highest_median() -> None:
    assert fastest({"a": [1, 1, 100], "b": [2, 2, 2]}) == "b"


def test_engines_agree_where_sentiment_and_toxicity_are_the_same() -> None:
    reference: list[list[float]] = [[3, 1, 2, -1], [1, 2, 3, 1], [0, 1, 0, -2], [1, 0, 0, 0.1]]
    found: list[list[float]] = [[9, 8, 7, -5], [1, 3, 2, 1], [0, 1, 0, 2], [0.5, 0, 0, 3]]
    assert agreement(found, reference) == 0.5


def test_flops_can_be_checked_by_hand() -> None:
    config = SimpleNamespace(hidden_size=2, intermediate_size=8, num_hidden_layers=3)
    matrices = 2 * 10 * (4 * 2 * 2 + 2 * 2 * 8)
    assert flops_per_text(config, [10, 10]) == 3 * (matrices + 4 * 10 * 10 * 2)


def test_the_texts_are_the_same_in_every_run_and_nine_of_ten_of_a_wave_are_repeats() -> None:
    assert corpus.unique(100) == corpus.unique(100)
    assert len(set(corpus.unique(3_000))) == 3_000
    assert len(set(corpus.repeated(10_000)[500:])) == pytest.approx(1_450, rel=0.1)
    streams = corpus.repeated(40_000, 4)
    assert streams[:500] == corpus.repeated(500)
    for stream in range(4):
        own, others = (
            set(streams[stream::4]),
            {text for number in range(4) if number != stream for text in streams[number::4]},
        )
        assert len(own) == pytest.approx(1_450, rel=0.1)
        assert own & others <= set(streams[:500])


def test_figures_are_printed_with_their_reach_and_points_are_drawn(tmp_path: Path) -> None:
    shown = Figure("engine ÷ other", "ratio", measured([1.0, 1.2, 1.4]), Reach(1.0, 1.3), "on one machine")
    points = [
        Figure("p", "texts/s", measured([x, 2 * x]), point=Point("By size", "ours", x, "texts")) for x in (1.0, 2.0)
    ]
    console = Console(record=True, width=150)
    console.print(table("engine", [shown, *points]))
    printed = console.export_text()
    assert ">= 1, aim 1.3: at least" in printed
    assert "texts/s" not in printed
    assert draw([shown, *points], tmp_path) == [tmp_path / "by-size.png"]
    assert (tmp_path / "by-size.png").stat().st_size > 1_000


def test_parts_of_a_whole_are_drawn_as_bars(tmp_path: Path) -> None:
    parts = [
        Figure(part, "%", measured([50.0]), point=Point("Where it goes, in all", part, bar, ""))
        for bar in ("new texts", "repeats")
        for part in ("model", "publish")
    ]
    assert draw(parts, tmp_path) == [tmp_path / "where-it-goes-in-all.png"]
    assert (tmp_path / "where-it-goes-in-all.png").stat().st_size > 1_000


def test_texts_of_one_length_have_it_exactly_and_no_two_are_alike() -> None:
    by_characters, by_words = corpus.of_characters(200, 100), corpus.of_words(200, 8)
    assert {len(text) for text in by_characters} == {100}
    assert {len(text.split()) for text in by_words} == {8}
    assert len(set(by_characters)) == len(set(by_words)) == 200


def test_what_grows_as_its_size_does_has_a_ratio_of_one() -> None:
    costs = {10: [1.0, 1.0], 100: [10.0, 12.0], 1_000: [100.0, 120.0]}
    assert next(growth("parsing", "characters", "µs", costs, by_size=True)).value.median == 1
    assert next(growth("parsing", "characters", "µs", costs, by_size=False)).value.median == 10


def test_numbers_have_three_digits_at_least() -> None:
    assert [number(value) for value in (0.12345, 12.345, 1234.5)] == ["0.123", "12.3", "1,234"]


def test_peers_get_batches_sorted_by_length_within_the_token_budget() -> None:
    class Encoding:
        def __init__(self, ids: list[int]) -> None:
            self.ids = ids

    class Tokenizer:
        def encode_batch_fast(self, texts: list[str]) -> list[Encoding]:
            return [Encoding([1] * len(text)) for text in texts]

    made = batches(Tokenizer(), ["a" * 600, "b" * 10, "c" * 400, "d" * 512], by_tokens)  # type: ignore[arg-type]
    assert [batch.indices for batch in made] == [[0], [3, 2], [1]]
    assert [batch.inputs["attention_mask"].sum() for batch in made] == [600, 912, 10]


def test_the_gpu_s_figures_are_taken_by_the_same_code_on_any_device() -> None:
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=80)
    network: Any = BertForSequenceClassification(config)
    network.eval()
    eager = in_rows(network, longest=64, pad_id=0)
    lane = HostLane()
    graphed = GraphedNetwork(eager, lane, Buckets(64, 256, shares_rows=True), pad_id=0)
    figures = gpu.figures(graphed, eager, "a CPU", rows=[1, 2], rounds=1)
    assert lane.replays == 2 * (1 + gpu.PASSES + 1 + gpu.PASSES + 1)
    assert [figure.name for figure in figures if figure.point is None] == [
        f"{pair}, {rows} rows"
        for rows in (1, 2)
        for pair in ("graphs ÷ eager", "graphs, two in flight ÷ graphs", "graphs, two in flight ÷ GEMM")
    ]
    assert all(figure.value.least > 0 for figure in figures)
