"""The short forms of the chaos rows, on a real Kafka; `make chaos` runs the long ones."""

from types import ModuleType

import pytest

from tests.chaos import kill, planted, rebalance, terminate, zombie
from tests.chaos.report import Report
from tests.chaos.scenario import Options, perform

pytestmark = pytest.mark.slow


def assert_holds(row: ModuleType, delivery: str, bootstrap: str) -> None:
    report = perform(row.TITLE, row.run, Options(delivery=delivery, short=True, bootstrap=bootstrap, seed=5))
    assert report.ok, "\n".join(report.problems[:5])


def test_killed_members_lose_nothing_and_repeat_nothing_in_exactly_once(apache_bootstrap: str) -> None:
    assert_holds(kill, "exactly-once", apache_bootstrap)


def test_terminated_members_end_cleanly_and_repeat_nothing_even_in_at_least_once(apache_bootstrap: str) -> None:
    assert_holds(terminate, "at-least-once", apache_bootstrap)


def test_members_that_join_and_leave_stop_no_partition_that_stays_and_repeat_nothing(apache_bootstrap: str) -> None:
    assert_holds(rebalance, "exactly-once", apache_bootstrap)


def test_a_member_that_wakes_after_it_was_given_up_is_fenced(apache_bootstrap: str) -> None:
    assert_holds(zombie, "exactly-once", apache_bootstrap)


@pytest.mark.parametrize("fault", planted.FAULTS, ids=lambda fault: fault.name)
def test_the_harness_finds_a_planted_fault(fault: planted.Fault, apache_bootstrap: str) -> None:
    report = Report(planted.TITLE, fault.name)
    planted.find(fault, report, Options(bootstrap=apache_bootstrap))
    assert report.ok, report.problems
