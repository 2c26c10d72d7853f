"""The arithmetic of `moderate bench`, its texts, and how it makes figures of what it has seen."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.terminal.bench_engine import engine_rates
from consumer.terminal.bench_figures import latency, measured, rates_per_s
from consumer.terminal.bench_plan import (
    HEADROOM,
    LEAST_PARTITIONS,
    OUTAGE_S,
    catch_up_s,
    duration,
    plan,
    spelled_out,
)
from consumer.terminal.bench_texts import REMEMBERED, unique_texts, with_repeats
from tests.fakes import WordEngine

rates = st.floats(0.1, 1e6)


def test_a_plan_can_be_checked_by_hand() -> None:
    found = plan(1_000, 300, peak_factor=2, comment_bytes=150, result_bytes=1_000)
    assert (found.members, found.partitions) == (10, 20)  # 2,000 / (0.7 × 300) = 9.5
    assert found.used_share == pytest.approx(2_000 / 3_000)
    assert found.catch_up_s == pytest.approx(3_600 * 2_000 / (3_000 - 2_000))
    assert (found.input_bytes_per_s, found.result_bytes_per_s) == (300_000, 2_000_000)
    assert spelled_out(found, 2) == (
        "1,000/s × 2 at the peak = 2,000/s; one member may be used to 70% of 300/s = 210/s; 2,000 / 210 → 10 members, "
        "20 partitions. At the peak they are used to 67%, and what an hour's outage left behind takes 2 h 0 min."
    )


@given(rates, rates, st.floats(1.0, 20.0))
def test_a_plan_holds_the_peak_within_the_headroom_and_with_one_member_less_it_would_not(
    rate: float, capacity: float, peak: float
) -> None:
    found = plan(rate, capacity, peak_factor=peak)
    assert found.used_share <= HEADROOM + 1e-9
    assert found.members == 1 or rate * peak > HEADROOM * capacity * (found.members - 1) * (1 - 1e-9)


@given(rates, rates)
def test_every_member_of_a_plan_has_equally_many_partitions_and_the_group_can_double(
    rate: float, capacity: float
) -> None:
    found = plan(rate, capacity)
    assert found.partitions % found.members == 0
    assert found.partitions >= max(2 * found.members, LEAST_PARTITIONS)


@given(rates, rates)
def test_what_an_outage_left_behind_is_worked_off_while_new_comments_come(rate: float, capacity: float) -> None:
    found = plan(rate, capacity)
    worked_off = found.members * capacity * found.catch_up_s
    assert worked_off == pytest.approx(found.peak_per_s * (OUTAGE_S + found.catch_up_s))


def test_members_that_are_used_to_seven_tenths_catch_up_with_an_hour_in_two_hours_and_twenty_minutes() -> None:
    assert duration(catch_up_s(3_600, 70, 100)) == "2 h 20 min"


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (720, "12 min"), (3_599.9, "1 h 0 min")])
def test_durations_are_said_as_a_person_says_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(1, 10_000), st.integers(1, 300), st.integers(1, 5))
def test_the_rate_of_a_flow_that_comes_in_batches_is_found_whatever_the_batch(
    rate: float, batch: int, windows: int
) -> None:
    every_s = batch / rate
    moments = [number // batch * every_s for number in range((4 * windows + 1) * batch)]
    assert rates_per_s(moments, 0.5 * every_s, (4 * windows + 0.5) * every_s, windows) == pytest.approx(
        [rate] * windows
    )


def test_the_rate_of_each_window_is_its_own() -> None:
    slow, fast = [float(n) for n in range(11)], [10 + n / 10 for n in range(1, 101)]
    assert rates_per_s([*slow, *fast], 0, 20, 2) == pytest.approx([1, 10])


def test_a_window_in_which_nothing_came_is_joined_to_the_next() -> None:
    assert rates_per_s([0.0, 10.0], 0, 10, 5) == pytest.approx([0.1])


@pytest.mark.parametrize("arrivals", [[], [1.0], [20.0, 21.0]])
def test_a_rate_is_not_made_up_from_too_few_arrivals(arrivals: list[float]) -> None:
    with pytest.raises(ValueError, match="too few"):
        rates_per_s(arrivals, 0, 10, 3)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_percentiles_are_latencies_that_were_seen_and_at_most_the_named_share_is_above(seconds: list[float]) -> None:
    found = latency(seconds)
    for percentile_ms, percent in ((found.p50_ms, 50), (found.p90_ms, 90), (found.p99_ms, 99)):
        assert percentile_ms in [1_000 * value for value in seconds]
        assert sum(1_000 * value > percentile_ms for value in seconds) * 100 <= (100 - percent) * len(seconds)


def test_percentiles_of_a_hundred_are_the_fiftieth_the_ninetieth_and_the_ninety_ninth() -> None:
    assert latency([n / 1_000 for n in range(1, 101)])[:3] == pytest.approx((50, 90, 99))


def test_a_figure_comes_with_its_range() -> None:
    assert str(measured([1_200, 1_000, 1_100])) == "1,100 (1,000 to 1,200)"


def test_no_two_texts_are_alike_and_the_same_seed_gives_the_same_texts() -> None:
    texts = list(islice(unique_texts(7), 2_000))
    assert len({text.lower() for text in texts}) == 2_000
    assert texts == list(islice(unique_texts(7), 2_000))
    assert not set(texts) & set(islice(unique_texts(8), 2_000))


def test_texts_are_as_long_as_comments_are() -> None:
    words = sorted(len(text.split()) for text in islice(unique_texts(), 2_000))
    assert 12 <= words[1_000] <= 16
    assert 30 <= words[1_800] <= 45
    assert 60 <= words[1_980] <= 110


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_repeats_are_as_many_as_asked_for_after_the_first_new_ones(share: float) -> None:
    texts = list(islice(with_repeats(unique_texts(), share), 2_000))
    assert len(set(texts[:REMEMBERED])) == REMEMBERED
    known = set(texts[:REMEMBERED])
    repeats = 0
    for text in texts[REMEMBERED:]:
        repeats += text in known
        known.add(text)
    assert repeats / (2_000 - REMEMBERED) == pytest.approx(share, abs=0.05)


def test_the_engine_is_measured_at_every_size_with_texts_that_it_has_never_had() -> None:
    engine = WordEngine(seconds_per_text=0.000_1)
    passed_s: list[float] = []
    found = engine_rates(
        engine, unique_texts(), rounds=3, seconds_each=0.002, sizes=(1, 16), on_progress=passed_s.append
    )
    assert list(found) == [1, 16]
    assert all(rate.samples == 3 and 0 < rate.least <= rate.median <= rate.most <= 10_000 for rate in found.values())
    assert len(set(engine.classified)) == len(engine.classified)
    assert len(passed_s) == 6


def test_batches_of_one_are_not_measured_faster_than_the_engine_can_be() -> None:
    found = engine_rates(WordEngine(0.001), unique_texts(), rounds=1, seconds_each=0.01)
    assert all(rate.most <= 1_000 for rate in found.values())
