"""What every function that reads a text must keep to; each check raises AssertionError for the text that breaks it."""

import time
from collections.abc import Callable
from typing import TypeVar

from schemas import MAX_TEXT_CHARACTERS

Result = TypeVar("Result")

MOST_SECONDS = 0.1
"""For a text of MAX_TEXT_CHARACTERS: three times what the slowest takes, 33 ms; one piece repeated takes 10 at most."""
_TRIES = 3


def check_cleaning(clean: Callable[[str], str], text: str, *, most_seconds: float = MOST_SECONDS) -> None:
    """Check that `clean` takes the text, in time, cleans it once and for all and makes it no longer than the limit."""
    cleaned = check_in_time(clean, text, most_seconds=most_seconds)
    assert len(cleaned) <= MAX_TEXT_CHARACTERS, f"{len(cleaned)} characters came of {_shown(text)}"
    assert not any("\ud800" <= character <= "\udfff" for character in cleaned), f"half a pair is left of {_shown(text)}"
    assert clean(cleaned) == cleaned, f"cleaning twice is not cleaning once for {_shown(text)}"


def check_in_time(step: Callable[[str], Result], text: str, *, most_seconds: float = MOST_SECONDS) -> Result:
    """Check that `step` takes the text, in time, and return what it makes of it."""
    try:
        fastest, result = _timed(step, text)
    except BaseException as error:  # a panic in Rust is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise AssertionError(f"{type(error).__name__} for {_shown(text)}") from error
    tries = 1
    while fastest > most_seconds and tries < _TRIES:  # a pause of the machine is no fault
        fastest, tries = min(fastest, _timed(step, text)[0]), tries + 1
    assert fastest <= most_seconds, f"{fastest * 1000:.1f} ms for {_shown(text)}"
    return result


def _timed(step: Callable[[str], Result], text: str) -> tuple[float, Result]:
    """CPU time of this thread: what else the machine does is left out."""
    start = time.thread_time()
    result = step(text)
    return time.thread_time() - start, result


def _shown(text: str) -> str:
    """Enough of the text to make it again: these are made-up texts, of one unit repeated where they are long."""
    return ascii(text) if len(text) < 2_000 else f"{text[:600]!a}...{text[-200:]!a} ({len(text)} characters)"
