from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.model import Engine
from consumer.model.cleaning import clean
from consumer.model.labels import TagGroups
from consumer.training.data import Row
from consumer.training.perturbations import PERTURBATIONS, perturbed
from consumer.training.robustness import measure_robustness, robustness_tables
from tests.fakes import TAG_GROUPS, WordEngine

SENTENCE = "The stupid waiter dropped our plates twice and then blamed somebody else for everything."
WORD_BY_WORD = sorted(set(PERTURBATIONS) - {"emoji", "all caps"})


class CleaningEngine(WordEngine):
    def model_text(self, text: str) -> str:
        return clean(text).lower()


class SentimentEngine(WordEngine):
    tag_groups = TagGroups(TAG_GROUPS.groups[:1])


def measured(engine: WordEngine, rows: list[Row], seed: int = 0) -> dict[str, Any]:
    return measure_robustness(cast(Engine, engine), rows, seed)


def rows_of(count: int) -> list[Row]:
    """Rows that the word engine answers as they are labelled: half of them say "awful"."""
    return [
        Row(
            f"This awful waiter number {n}" if n % 2 else f"This waiter number {n}",
            {"sentiment": "positive", "toxicity": "toxic" if n % 2 else "clean"},
            "",
        )
        for n in range(count)
    ]


@given(
    name=st.sampled_from(sorted(PERTURBATIONS)), text=st.text() | st.from_regex(r"\A[A-Za-z .!]*\Z"), seed=st.integers()
)
def test_a_perturbation_is_the_same_every_time_and_no_text_makes_it_raise(name: str, text: str, seed: int) -> None:
    assert perturbed(name, text, seed) == perturbed(name, text, seed)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_changes_a_sentence_and_not_always_alike(name: str) -> None:
    changed = {perturbed(name, SENTENCE, seed) for seed in range(20)}
    assert SENTENCE not in changed or name == "typos"  # a swap of two equal letters changes nothing
    assert len(changed) > 5 or name == "all caps"


@pytest.mark.parametrize("name", [name for name in WORD_BY_WORD if name != "s p a c i n g"])
def test_at_most_three_words_change(name: str) -> None:
    for seed in range(50):
        words = perturbed(name, SENTENCE, seed).split()
        assert sum(old != new for old, new in zip(SENTENCE.split(), words, strict=True)) <= 3


@pytest.mark.parametrize("name", WORD_BY_WORD)
@pytest.mark.parametrize("text", ["", "it was not", "@stupid #stupid https://stupid.org &quot; don't 🙂 глупый", "  "])
def test_stop_words_links_mentions_hashtags_and_other_scripts_stay(name: str, text: str) -> None:
    assert perturbed(name, text, 0) == text


@pytest.mark.parametrize("name", WORD_BY_WORD)
def test_punctuation_around_a_word_stays(name: str) -> None:
    assert (changed := perturbed(name, '("Terrible!")', 1)).startswith('("')
    assert changed.endswith('!")')


def test_a_spaced_word_keeps_its_letters_in_order() -> None:
    assert "".join(sign for sign in perturbed("s p a c i n g", "terrible", 3) if sign.isalpha()) == "terrible"


@pytest.mark.parametrize("name", ["zero-width characters", "homoglyphs"])
def test_what_nobody_can_see_is_undone_by_cleaning(name: str) -> None:
    for seed in range(50):
        assert clean(perturbed(name, SENTENCE, seed)) == SENTENCE


def test_a_typo_moves_drops_or_doubles_one_letter() -> None:
    for seed in range(50):
        assert abs(len(perturbed("typos", "terrible", seed)) - len("terrible")) <= 1


def test_a_model_that_is_right_loses_only_what_the_perturbation_hides() -> None:
    report = measured(CleaningEngine(), rows_of(60))
    assert report["rows"] == 120
    assert [(part["group"], part["name"]) for part in report["perturbations"]] == [
        (group, name) for group in ("sentiment", "toxicity") for name in ("none", *PERTURBATIONS)
    ]
    parts = {(part["group"], part["name"]): part for part in report["perturbations"]}
    for (group, name), part in parts.items():
        assert part["accuracy_clean"] == 1
        assert part["lost"] == part["accuracy_clean"] - part["accuracy"]
        if group == "sentiment" or name in ("none", "all caps", "zero-width characters", "homoglyphs", "emoji"):
            assert part["accuracy"] == 1
    assert parts["toxicity", "typos"]["accuracy"] < 1


def test_what_cleaning_wins_back_is_shown() -> None:
    parts = {
        part["name"]: part
        for part in measured(CleaningEngine(), rows_of(60))["perturbations"]
        if part["group"] == "toxicity"
    }
    assert parts["none"]["accuracy_without_cleaning"] == 1
    assert parts["homoglyphs"]["accuracy_without_cleaning"] < parts["homoglyphs"]["accuracy"]


def test_wrong_labels_and_failed_texts_count_as_wrong() -> None:
    rows = [Row("fine", {"toxicity": "toxic"}, ""), Row("poison", {"toxicity": "clean"}, "")]
    assert measured(WordEngine(), rows)["perturbations"][0]["accuracy"] == 0


def test_at_most_500_rows_a_group_are_drawn_and_the_seed_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.training.robustness.PERTURBATIONS", {"typos": PERTURBATIONS["typos"]})
    report = measured(CleaningEngine(), rows_of(900), seed=1)
    assert report["rows"] == 1000
    assert report == measured(CleaningEngine(), rows_of(900), seed=1)
    assert report != measured(CleaningEngine(), rows_of(900), seed=2)


def test_only_groups_of_the_model_and_of_the_rows_are_measured() -> None:
    report = measured(SentimentEngine(), rows_of(4))
    assert {part["group"] for part in report["perturbations"]} == {"sentiment"}
    only_toxicity = [Row("x", {"toxicity": "clean"}, "")]
    assert measured(SentimentEngine(), only_toxicity) == {"rows": 0, "perturbations": []}


def test_the_tables_hold_a_line_per_perturbation() -> None:
    tables = list(robustness_tables(measured(CleaningEngine(), rows_of(5))))
    assert [str(table.title) for table in tables] == ["sentiment: robustness", "toxicity: robustness"]
    assert [list(table.columns[0].cells) for table in tables] == [["none", *PERTURBATIONS]] * 2
