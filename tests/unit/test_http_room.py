"""How many connections fit into a process."""

import asyncio
import resource
import time

import pytest
from structlog.testing import capture_logs

from consumer.http.room import BACKLOG, LEAST_CONNECTIONS, OTHER_DESCRIPTORS, RESERVED, Room, connections_that_fit
from consumer.settings_parsing import SettingsError

BESIDE = RESERVED + BACKLOG + OTHER_DESCRIPTORS


@pytest.mark.parametrize(
    ("files", "fit"),
    [
        (resource.RLIM_INFINITY, 512),
        (1_048_576, 512),
        (512 + BESIDE, 512),
        (511 + BESIDE, 511),
        (LEAST_CONNECTIONS + BESIDE, LEAST_CONNECTIONS),
    ],
)
def test_connections_are_as_many_as_files_may_be_open_for_and_fewer_are_said(
    monkeypatch: pytest.MonkeyPatch, files: int, fit: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    with capture_logs() as logs:
        assert connections_that_fit(512) == fit
    assert [line["event"] for line in logs] == ["http_connections_lowered"] * (fit < 512)


def test_a_limit_that_may_be_raised_is_raised_as_far_as_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4_096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert connections_that_fit(512) == 512
    assert set_to == [(512 + BESIDE, 4_096)]


def test_the_usual_limit_of_1024_files_is_enough_for_the_default() -> None:
    from consumer.settings import Settings

    assert Settings().http_max_connections + BESIDE <= 1_024


def test_too_few_files_are_refused_with_the_number_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    with pytest.raises(SettingsError, match=f"100 files .* needs {LEAST_CONNECTIONS + BESIDE} at least"):
        connections_that_fit(512)


def test_what_goes_wrong_in_the_loop_again_and_again_is_one_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    loop = asyncio.new_event_loop()
    here = Room(16)
    with capture_logs() as logs:
        for _ in range(3):
            for _ in range(500):
                here.on_loop_error(loop, {"message": "accept", "exception": OSError(24, "a secret")})
                here.on_loop_error(loop, {"message": "a callback", "exception": ValueError("a secret")})
            now_s += 61
    loop.close()
    events = [line["event"] for line in logs]
    assert events.count("http_out_of_descriptors") == events.count("http_loop_error") == 3
    assert "a secret" not in str(logs)
