import pytest

from consumer.cache.breaker import FAILURES_TO_OPEN, RETRY_AFTER_S, Breaker


class Bench:
    """A breaker, the clock it sees, and what it told."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.told: list[tuple[bool, str]] = []
        self.breaker = Breaker(lambda is_open, reason: self.told.append((is_open, reason)), lambda: self.now_s)

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.breaker.failed("ConnectionError")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_opens_after_failures_in_a_row_and_tells_once(bench: Bench) -> None:
    bench.fail(FAILURES_TO_OPEN - 1)
    assert bench.breaker.allows()
    bench.fail(5)
    assert not bench.breaker.allows()
    assert bench.told == [(True, "ConnectionError")]


def test_a_success_between_failures_keeps_it_closed(bench: Bench) -> None:
    for _ in range(5):
        bench.fail(FAILURES_TO_OPEN - 1)
        bench.breaker.succeeded()
    assert bench.breaker.allows()
    assert bench.told == []


def test_one_probe_is_allowed_when_the_time_has_come(bench: Bench) -> None:
    bench.fail(FAILURES_TO_OPEN)
    bench.now_s += RETRY_AFTER_S - 0.01
    assert not bench.breaker.allows()
    bench.now_s += 0.02
    assert [bench.breaker.allows(), bench.breaker.allows()] == [True, False]
    assert bench.breaker.is_open


def test_a_probe_that_fails_keeps_it_open_without_telling_again(bench: Bench) -> None:
    bench.fail(FAILURES_TO_OPEN)
    for _ in range(3):
        bench.now_s += RETRY_AFTER_S
        assert bench.breaker.allows()
        bench.fail(1)
        assert not bench.breaker.allows()
    assert bench.told == [(True, "ConnectionError")]


def test_a_probe_that_succeeds_closes_it_and_the_count_begins_anew(bench: Bench) -> None:
    bench.fail(FAILURES_TO_OPEN)
    bench.now_s += RETRY_AFTER_S
    assert bench.breaker.allows()
    bench.breaker.succeeded()
    bench.fail(FAILURES_TO_OPEN - 1)
    assert bench.breaker.allows()
    assert bench.told == [(True, "ConnectionError"), (False, "")]


def test_a_probe_that_never_reports_is_followed_by_another(bench: Bench) -> None:
    bench.fail(FAILURES_TO_OPEN)
    bench.now_s += RETRY_AFTER_S
    assert bench.breaker.allows()
    bench.now_s += RETRY_AFTER_S
    assert bench.breaker.allows()


def test_it_can_be_opened_at_once(bench: Bench) -> None:
    bench.breaker.open("AuthenticationError")
    assert not bench.breaker.allows()
    assert bench.told == [(True, "AuthenticationError")]
