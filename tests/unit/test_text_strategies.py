"""The hostile texts are hostile enough: they find planted faults, and leave a sound cleaner alone."""

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.text_checks import MOST_SECONDS, check_cleaning
from tests.text_strategies import texts


def found(clean: Callable[[str], str], examples: int = 2_000) -> str:
    """Return what the fuzzer says about the first text that breaks the cleaner; empty where it finds none."""

    @seed(18)
    @settings(
        max_examples=examples,
        phases=[Phase.generate],  # to make a text of 20,480 characters smaller takes minutes
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(texts())
    def fuzz(text: str) -> None:
        check_cleaning(clean, text)

    try:
        fuzz()
    except AssertionError as error:
        return str(error)
    return ""


def short(text: str) -> str:
    return re.sub(r"[\ud800-\udfff]", "", text)[:1_000]


def raises_on_long_numbers(text: str) -> str:
    for digits in re.findall(r"&#(\d+)", text):
        int(digits)
    return short(text)


def is_quadratic_in_joiners(text: str) -> str:
    joiners: list[int] = []
    for index, character in enumerate(text):
        if character == "\u200d" and index not in joiners:
            joiners.append(index)
    return short(text)


def is_not_done_at_once(text: str) -> str:
    return short(text).replace("&amp;", "&")


def grows(text: str) -> str:
    return short(text) if "\ufdfa" not in text else "x" * 20_481


def keeps_half_a_pair(text: str) -> str:
    return text[:1_000]


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (raises_on_long_numbers, "ValueError for"),
        (is_quadratic_in_joiners, " ms for"),
        (is_not_done_at_once, "cleaning twice"),
        (grows, "20481 characters came of"),
        (keeps_half_a_pair, "half a pair is left"),
    ],
)
def test_the_fuzzer_finds_a_planted_fault(planted: Callable[[str], str], said: str) -> None:
    assert said in found(planted)


def test_the_fuzzer_finds_no_fault_where_none_is() -> None:
    assert found(short, 200) == ""


def test_a_slow_text_is_told_by_its_own_time() -> None:
    with pytest.raises(AssertionError, match="ms for 'a'"):
        check_cleaning(lambda text: text if sum(range(10_000_000)) else "", "a", most_seconds=MOST_SECONDS / 10)
