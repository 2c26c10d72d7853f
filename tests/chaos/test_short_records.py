"""The short forms of the chaos rows about records and about what stands around the member, on a real Kafka."""

import shutil
from types import ModuleType

import pytest

from tests.brokers import require_apache_kafka
from tests.chaos import hostile, redis_faults, rejects
from tests.chaos.scenario import Options, perform
from tests.services import missing

pytestmark = pytest.mark.slow


def assert_holds(row: ModuleType, delivery: str, bootstrap: str = "") -> None:
    report = perform(row.TITLE, row.run, Options(delivery=delivery, short=True, bootstrap=bootstrap, seed=5))
    assert report.ok, "\n".join(report.problems[:5])


def test_hostile_records_come_out_once_each_and_dead_letters_are_what_came_in(apache_bootstrap: str) -> None:
    assert_holds(hostile, "at-least-once", apache_bootstrap)


def test_a_results_topic_that_rejects_makes_dead_letters_or_a_stop_with_a_reason_and_loses_nothing() -> None:
    require_apache_kafka()
    assert_holds(rejects, "exactly-once")


def test_a_redis_that_is_harmed_in_any_way_costs_no_comment_and_changes_no_tag(apache_bootstrap: str) -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not on the PATH")
    assert_holds(redis_faults, "at-least-once", apache_bootstrap)
