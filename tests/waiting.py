"""Waiting for what other threads and processes do, for as long as it takes and no longer."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Poll until `holds()`; fails the test when it does not within `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not so within {timeout_s:g} s"
        time.sleep(0.01)
