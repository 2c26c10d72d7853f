import random

from hypothesis import given
from hypothesis import strategies as st

from consumer.model.cleaning import clean
from consumer.training.data import Row
from consumer.training.variations import _other_link, _other_mention, varied

ROWS = [Row(f"this is a perfectly ordinary sentence number {n}", {"toxicity": "clean"}, "s") for n in range(400)]


def test_about_the_share_asked_for_is_varied_and_the_seed_decides_how() -> None:
    changed = sum(row != new for row, new in zip(ROWS, varied(ROWS, 0.3, 1), strict=True))
    assert 80 <= changed <= 160
    assert varied(ROWS, 0.3, 1) == varied(ROWS, 0.3, 1) != varied(ROWS, 0.3, 2)
    assert varied(ROWS, 0.0, 1) == ROWS


def test_mentions_and_links_are_taken_away_where_they_are_and_put_where_they_are_not() -> None:
    chance = random.Random(0)
    assert _other_mention("@user well done", chance) == "well done"
    assert _other_mention("RT @user: well done", chance) == "well done"
    assert _other_mention("well done", chance) == "@user well done"
    assert _other_link("well done http", chance) == "well done"
    assert _other_link("well done", chance) == "well done http"


@given(st.text(), st.integers())
def test_a_varied_row_keeps_its_labels_and_has_a_clean_text_that_is_not_empty(text: str, seed: int) -> None:
    row = Row(clean(text), {"sentiment": "neutral"}, "s")
    new = varied([row], 1.0, seed)[0]
    assert (new.labels, new.source, clean(new.text)) == (row.labels, row.source, new.text)
    assert bool(new.text) or not row.text
