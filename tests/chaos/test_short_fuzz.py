"""The fuzzing in its short form, and proof that it finds faults that are planted."""

import html
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from consumer.model import cleaning
from tests.chaos import fuzz
from tests.chaos.fuzz_targets import Target
from tests.chaos.scenario import Options, perform
from tests.table_checks import check_loses_no_row, forgiving, miswritten_tables
from tests.text_checks import check_cleaning
from tests.text_strategies import texts

pytestmark = pytest.mark.slow

SEED = 11
PATIENCE_S = 30.0
"""Each planted fault is found in a second or two, and the slow one made small in some 20 s more."""


@pytest.fixture(autouse=True)
def without_log_lines() -> Iterator[None]:
    with fuzz.quiet():
        yield


def test_no_way_in_can_be_made_to_raise_crawl_lose_or_mislead() -> None:
    report = perform(fuzz.TITLE, fuzz.run, Options(short=True, seed=SEED))
    assert report.ok, "\n".join(report.problems)


def unescapes_numbers_of_any_length(text: str) -> str:
    """As cleaning did once: Python refuses to read numbers of more than 4,300 digits."""
    return cleaning.clean(html.unescape(text))


def takes_the_square_of_the_length(text: str) -> str:
    """As the emoji library does with joiners."""
    joiners: list[int] = []
    for place, character in enumerate(text):
        if character == "\u200d" and place not in joiners:
            joiners.append(place)
    return cleaning.clean(text)


def forgets_that_it_has_cleaned(text: str) -> str:
    return cleaning.clean(text).replace("&", "&amp;")


@pytest.mark.parametrize(
    "planted", [unescapes_numbers_of_any_length, takes_the_square_of_the_length, forgets_that_it_has_cleaned]
)
def test_a_cleaner_with_a_planted_fault_is_found(planted: Callable[[str], str]) -> None:
    target = Target("cleaning", texts(), lambda text: check_cleaning(planted, text))
    examples, fault = fuzz.fuzz(target, PATIENCE_S, SEED)
    assert fault, f"not found in {examples} texts"


def test_a_reader_that_loses_rows_is_found(tmp_path: Path) -> None:
    target = Target("tables", miswritten_tables(), partial(check_loses_no_row, forgiving, tmp_path / "a.csv"))
    examples, fault = fuzz.fuzz(target, PATIENCE_S, SEED)
    assert fault, f"not found in {examples} tables"
