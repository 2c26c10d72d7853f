"""The short form of the load row: on a real Kafka where there is one, else on the embedded broker."""

import shutil

import pytest

from tests.chaos import load
from tests.chaos.scenario import Options, perform
from tests.services import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_three_times_the_capacity_makes_refusals_and_lag_and_no_failure_and_then_all_is_as_before() -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not on the PATH")
    report = perform(load.TITLE, load.run, Options(short=True))
    assert report.ok, "\n".join(report.problems[:5])
