import os
from collections import deque
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumer.dead_letter_alarm import BUCKET_S, BUCKETS, LEAST_RECORDS, REMIND_AFTER_S, DeadLetterAlarm, Window
from schemas import DeadLetterReason

BROKEN = DeadLetterReason.NOT_JSON
WINDOW_S = BUCKETS * BUCKET_S


class Bench:
    """An alarm, the clock it sees, and what it said."""

    def __init__(self, logs: list[MutableMapping[str, Any]], *, share: float = 0.5, pause: bool = False) -> None:
        self.now_s = 1_000.0
        self.logs = logs
        self.alarm = DeadLetterAlarm(share, pause, clock=lambda: self.now_s)

    def count(self, *, tagged: int = 0, dead: int = 0) -> None:
        self.alarm.count([None] * tagged + [BROKEN] * dead)

    @property
    def said(self) -> list[str]:
        return [line["event"] for line in self.logs]


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def bench(logs: list[MutableMapping[str, Any]]) -> Bench:
    return Bench(logs)


@pytest.fixture
def pausing(logs: list[MutableMapping[str, Any]]) -> Bench:
    return Bench(logs, pause=True)


def test_it_rings_once_when_half_of_a_hundred_records_are_dead_letters(bench: Bench) -> None:
    bench.count(tagged=50, dead=49)
    assert (bench.alarm.degraded, bench.said) == (False, []), "99 records are too few"
    bench.count(dead=1)
    assert bench.alarm.degraded
    bench.count(dead=1_000)
    assert bench.said == ["dead_letter_share_high"]
    assert not bench.alarm.paused, "pausing was not asked for"


def test_it_says_how_many_of_which_reason_and_what_to_do(bench: Bench) -> None:
    bench.alarm.count([None] * 40 + [DeadLetterReason.TOMBSTONE] * 20 + [BROKEN] * 40)
    (line,) = bench.logs
    assert line["log_level"] == "warning"
    assert (line["share"], line["records"]) == (0.6, 100)
    assert line["reasons"] == {"not-json": 40, "tombstone": 20}
    assert "moderate dead-letters list" in line["remedy"]


def test_it_stays_quiet_below_the_share(bench: Bench) -> None:
    bench.count(tagged=51, dead=49)
    bench.count(tagged=510, dead=490)
    assert (bench.alarm.degraded, bench.said) == (False, [])


def test_the_share_that_rings_is_a_setting(logs: list[MutableMapping[str, Any]]) -> None:
    bench = Bench(logs, share=1.0)
    bench.count(tagged=1, dead=999)
    assert not bench.alarm.degraded
    bench.now_s += WINDOW_S
    bench.count(dead=100)
    assert bench.alarm.degraded


def test_what_is_older_than_a_minute_does_not_count(bench: Bench) -> None:
    bench.count(dead=99)
    bench.now_s += WINDOW_S
    bench.count(dead=99)
    assert (bench.alarm.degraded, bench.said) == (False, [])
    bench.now_s += WINDOW_S - BUCKET_S
    bench.count(dead=1)
    assert bench.alarm.degraded, "and what is younger does"


def test_it_is_over_only_when_the_share_is_below_half_of_what_rang(bench: Bench) -> None:
    bench.count(dead=100)
    bench.count(tagged=300)
    assert bench.alarm.degraded, "25 % is not below 25 %"
    assert bench.alarm.share == 0.25
    bench.count(tagged=1)
    assert bench.said == ["dead_letter_share_high", "dead_letter_share_normal"]
    bench.count(dead=500)
    assert bench.said == ["dead_letter_share_high", "dead_letter_share_normal", "dead_letter_share_high"]


def test_it_is_over_when_nothing_has_come_for_a_minute(bench: Bench) -> None:
    bench.count(dead=100)
    bench.now_s += WINDOW_S
    assert bench.alarm.poll() is False
    assert (bench.alarm.degraded, bench.alarm.share) == (False, 0.0)
    assert bench.said[-1] == "dead_letter_share_normal"


def test_where_it_is_asked_for_the_consumer_is_paused_and_stays_so(pausing: Bench) -> None:
    assert pausing.alarm.poll() is False
    pausing.count(dead=100)
    for _ in range(100):
        assert pausing.alarm.poll()
        assert pausing.alarm.paused
        assert pausing.alarm.degraded
        pausing.now_s += WINDOW_S


def test_while_paused_it_says_at_once_and_then_once_a_minute_how_to_go_on(pausing: Bench) -> None:
    pausing.count(dead=100)
    for tenth in range(int(REMIND_AFTER_S * 10 * 3)):
        pausing.now_s = 1_000.0 + tenth / 10
        pausing.alarm.poll()
    reminders = [line for line in pausing.logs if line["event"] == "consumer_paused"]
    assert len(reminders) == 3
    assert all(f"kill -USR1 {os.getpid()}" in line["remedy"] for line in reminders)


def test_records_that_were_in_flight_when_it_paused_change_nothing(pausing: Bench) -> None:
    pausing.count(dead=100)
    pausing.count(tagged=10_000)
    assert pausing.alarm.poll()
    assert pausing.alarm.degraded


def test_after_a_resume_the_count_begins_anew(pausing: Bench) -> None:
    pausing.count(dead=100)
    pausing.alarm.poll()
    pausing.alarm.resume()
    assert pausing.alarm.poll() is False
    assert (pausing.alarm.paused, pausing.alarm.degraded, pausing.alarm.share) == (False, False, 0.0)
    pausing.count(dead=LEAST_RECORDS - 1)
    assert pausing.alarm.poll() is False
    pausing.count(dead=1)
    assert pausing.alarm.poll() is True, "and nothing upstream has changed"
    episode = ["dead_letter_share_high", "consumer_paused"]
    assert pausing.said == [*episode, "consumer_resumed", *episode]


def test_a_resume_is_heeded_at_once_and_by_the_next_batch_too(pausing: Bench) -> None:
    pausing.count(dead=100)
    pausing.alarm.resume()
    assert not pausing.alarm.paused
    pausing.count(dead=LEAST_RECORDS - 1)
    assert (pausing.alarm.degraded, pausing.said[-1]) == (False, "consumer_resumed")


def test_a_resume_when_nothing_is_paused_changes_nothing_now_or_later(pausing: Bench) -> None:
    pausing.count(dead=50)
    pausing.alarm.resume()
    pausing.alarm.poll()
    assert pausing.said == []
    pausing.count(dead=50)
    assert pausing.alarm.poll()


batches = st.lists(
    st.tuples(
        st.floats(min_value=0.0, max_value=40.0),
        st.integers(min_value=0, max_value=120),
        st.integers(min_value=0, max_value=120),
    ),
    max_size=40,
)


@given(batches, st.sampled_from([0.1, 0.5, 1.0]))
def test_it_rings_exactly_when_the_last_minute_says_so_and_ends_exactly_when_it_says_so(
    batches: list[tuple[float, int, int]], share: float
) -> None:
    with capture_logs() as logs:
        bench = Bench(logs, share=share)
        history: deque[tuple[int, int, int]] = deque()
        rung, expected_said = False, []
        for wait_s, tagged, dead in batches:
            bench.now_s += wait_s
            bench.count(tagged=tagged, dead=dead)
            step = int(bench.now_s / BUCKET_S)
            history.append((step, tagged, dead))
            recent = [entry for entry in history if entry[0] > step - BUCKETS]
            all_dead = sum(entry[2] for entry in recent)
            total = all_dead + sum(entry[1] for entry in recent)
            if not rung and total >= LEAST_RECORDS and all_dead / total >= share:
                rung = True
                expected_said.append("dead_letter_share_high")
            elif rung and (total == 0 or all_dead / total < share / 2):
                rung = False
                expected_said.append("dead_letter_share_normal")
            assert bench.alarm.degraded == rung
            assert bench.alarm.share == pytest.approx(all_dead / total if total else 0.0)
        assert bench.said == expected_said


def test_the_window_keeps_as_much_at_any_rate_and_for_any_time() -> None:
    window = Window()
    for tenth in range(10_000):
        window.add(list(DeadLetterReason), tenth / 10)
    assert len(window._buckets) == BUCKETS
    assert window.counts(999.9).total() == len(DeadLetterReason) * int(WINDOW_S * 10)
