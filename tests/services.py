"""What a test needs and pip cannot bring: without it the test is skipped aloud, or fails where all must be there."""

import os
from typing import NoReturn

import pytest

REQUIRED = "required"


def missing(sentence: str) -> NoReturn:
    """Skip the test that runs; fail it with TEST_SERVICES=required, as .ci/run sets it, so that no skip goes unseen."""
    if os.environ.get("TEST_SERVICES") == REQUIRED:
        pytest.fail(f"{sentence}, and TEST_SERVICES={REQUIRED}", pytrace=False)
    pytest.skip(sentence)
