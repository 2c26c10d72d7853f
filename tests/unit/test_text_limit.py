"""What is judged of a text that is too long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.model import cleaning
from consumer.text_limit import UNSEEN, judged_part
from schemas import MAX_TEXT_CHARACTERS
from tests.chaos.fuzz_targets import counted
from tests.text_checks import check_in_time

LONG = MAX_TEXT_CHARACTERS + 1


@pytest.mark.parametrize(
    "padding",
    [
        "\u200b",
        " ",
        "\n",
        "\u200b\u2060",
        " \u200d\u3000",
        "\u3164",
        "\U000e0041",
        "\x01",
        "\x7f",
        "\u2800",
        "\ue000",
        "\U0001d173",
    ],
)
def test_what_nobody_sees_cannot_push_an_insult_out_of_what_is_judged(padding: str) -> None:
    judged, is_cut = judged_part("So" + padding * LONG + "you idiot")
    assert judged.replace(" ", "") == "Soyouidiot"
    assert not is_cut


def test_whatever_cleaning_takes_out_as_not_shown_does_not_count() -> None:
    taken_out = [chr(point) for point in range(0x110000) if cleaning._NOT_SHOWN.match(chr(point))]
    skin_tones = {chr(point) for point in range(0x1F3FB, 0x1F400)}
    unseen = re.compile(f"[{UNSEEN}]")
    assert [character for character in taken_out if not unseen.match(character)] == sorted(skin_tones)


pieces = st.sampled_from(["a", "bc", " ", "\n", "\u200b", "\u200b\u200b", "  ", "\ud800", "x \u2060 y"])


@given(st.lists(pieces, min_size=1, max_size=6), st.integers(MAX_TEXT_CHARACTERS - 3, MAX_TEXT_CHARACTERS + 40))
def test_it_is_the_beginning_that_the_contract_describes(units: list[str], length: int) -> None:
    text = ("".join(units) * (length // len("".join(units)) + 1))[:length]
    whole = counted(text)
    assert judged_part(text) == (whole[:MAX_TEXT_CHARACTERS], len(whole) > MAX_TEXT_CHARACTERS)


@pytest.mark.parametrize("unit", ["a  ", "\u200b", "a", "a\u200b\u200b", "a ", " \u200b"])
def test_of_a_text_of_a_million_characters_no_more_is_read_than_needed(unit: str) -> None:
    check_in_time(judged_part, unit * (1_000_000 // len(unit)), most_seconds=0.2)
