from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.backoff import Backoff

seconds = st.floats(min_value=0.001, max_value=1_000.0)
jitters = st.lists(st.floats(min_value=0.0, max_value=1.0, exclude_max=True), min_size=1, max_size=100)


class Bench:
    """A backoff, the clock it sees, and what chance gives it."""

    def __init__(self, first_s: float, cap_s: float, give_up_after_s: float, jitter: Callable[[], float]) -> None:
        self.now_s = 1_000.0
        self.backoff = Backoff(first_s, cap_s, give_up_after_s, clock=lambda: self.now_s, jitter=jitter)

    def fail(self) -> float | None:
        """Fail once more and wait as told."""
        delay_s = self.backoff.delay_s()
        self.now_s += delay_s or 0.0
        return delay_s


@given(seconds, seconds, seconds, jitters)
def test_a_delay_is_never_negative_and_never_beyond_its_doubled_step_or_the_cap(
    first_s: float, cap_s: float, give_up_after_s: float, chances: list[float]
) -> None:
    bench = Bench(first_s, cap_s, give_up_after_s, iter(chances).__next__)
    for failures in range(len(chances)):
        delay_s = bench.fail()
        if delay_s is None:
            break
        assert 0.0 <= delay_s <= min(cap_s, first_s * 2**failures)


@given(seconds, seconds, seconds, jitters, st.floats(min_value=0.0, max_value=10.0))
def test_it_gives_up_at_the_limit_counted_from_the_first_failure_and_not_before(
    first_s: float, cap_s: float, give_up_after_s: float, chances: list[float], attempt_s: float
) -> None:
    bench = Bench(first_s, cap_s, give_up_after_s, iter(chances).__next__)
    began_s = bench.now_s
    for _ in chances:
        failed_at_s = bench.now_s
        delay_s = bench.fail()
        assert (delay_s is None) == (failed_at_s >= began_s + give_up_after_s)
        if delay_s is None:
            assert bench.fail() is None, "and never takes that back"
            break
        assert bench.now_s <= began_s + give_up_after_s, "no wait goes beyond the limit"
        bench.now_s += attempt_s


@given(seconds, seconds, st.integers(min_value=0, max_value=20))
def test_after_a_reset_the_next_failure_is_a_first_one(first_s: float, give_up_after_s: float, failures: int) -> None:
    bench = Bench(first_s, 1_000.0, give_up_after_s, lambda: 0.5)
    first = bench.fail()
    for _ in range(failures):
        bench.fail()
    bench.now_s = 9_999.0
    bench.backoff.reset()
    assert bench.fail() == pytest.approx(first)


def test_the_steps_double_up_to_the_cap() -> None:
    bench = Bench(0.1, 1.0, 60.0, lambda: 1.0)
    assert [bench.fail() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_an_idle_backoff_does_not_use_up_its_time() -> None:
    bench = Bench(0.1, 1.0, 60.0, lambda: 1.0)
    bench.now_s += 3_600.0
    assert bench.fail() == pytest.approx(0.1)


def test_with_the_real_clock_and_real_chance_a_first_delay_is_within_its_step() -> None:
    delay_s = Backoff(0.1, 1.0, 60.0).delay_s()
    assert delay_s is not None
    assert 0.0 <= delay_s <= 0.1
