import re
from collections import Counter
from typing import Any, cast

import pytest

from consumer.model import Engine
from consumer.model.labels import TagGroups
from consumer.training.bias import bias_tables, filled_templates, measure_bias, terms
from consumer.training.counterexamples import counterexamples, template_file
from consumer.training.data import Row
from consumer.training.predict import Prediction
from tests.fakes import TAG_GROUPS, WordEngine

CONTENT = template_file("bias.json")
TRAINING = template_file("counterexamples.json")


class PrejudicedEngine(WordEngine):
    """Finds whatever mentions gay people toxic, and fails on whatever mentions deaf people."""

    def model_text(self, text: str) -> str:
        return super().model_text(text).replace("gay", "awful").replace("deaf", "poison")


class SentimentEngine(WordEngine):
    tag_groups = TagGroups(TAG_GROUPS.groups[:1])


def measured(predictions: list[Prediction], threshold: float = 0.5) -> dict[str, Any]:
    return measure_bias(cast(Engine, PrejudicedEngine()), predictions, threshold)


def predicted(text: str, label: str, toxic: float) -> Prediction:
    return Prediction(Row(text, {"toxicity": label}, ""), {"toxicity": {"toxic": toxic, "clean": 1 - toxic}})


def subgroups(rows: list[Prediction]) -> dict[str, tuple[int, float]]:
    return {part["term"]: (part["rows"], part["auc"]) for part in measured(rows)["subgroups"]}


def test_no_template_that_measures_is_one_that_trains() -> None:
    def without_slots(template: str) -> str:
        return re.sub(r"\{\w+\}", "{}", template).casefold()

    training = {without_slots(template) for part in TRAINING["sets"] for template in part["templates"]}
    measuring = {without_slots(template) for kind in CONTENT["kinds"].values() for template in kind["templates"]}
    assert not training & measuring


def test_no_sentence_that_measures_is_one_that_trains() -> None:
    training = {row.text.casefold() for seed in (0, 1) for row in counterexamples(seed)}
    assert not training & {text.casefold() for _, text in filled_templates(CONTENT)}
    assert not training & {text.casefold() for part in CONTENT["usage"].values() for text in part}


def test_an_unseen_term_is_no_word_of_the_training_templates_and_a_seen_one_is() -> None:
    words = " \n ".join(
        [word for fills in TRAINING["fills"].values() for word in fills]
        + [template for part in TRAINING["sets"] for template in part["templates"]]
    )
    for term in terms(CONTENT):
        found = re.search(rf"\b{re.escape(term.text)}(s|es)?\b", words, re.IGNORECASE)
        assert bool(found) != term.unseen, term


def test_there_are_enough_identity_terms_and_none_twice() -> None:
    identity = [term for term in terms(CONTENT) if term.kind == "identity"]
    assert len(identity) >= 80
    assert sum(term.unseen for term in identity) >= 25
    assert max(Counter(term.text for term in terms(CONTENT)).values()) == 1


def test_every_template_takes_a_term_and_reads_as_english() -> None:
    texts = [text for _, text in filled_templates(CONTENT)]
    assert len(texts) == len(set(texts))
    assert all("{" not in text and text[0].isupper() for text in texts)
    assert not [text for text in texts if re.search(r"\ba [aeio]|\ban [^aeio]", text, re.IGNORECASE)]
    for term, text in filled_templates(CONTENT):
        assert term.text.casefold() in text.casefold()


def test_usage_has_ten_to_fifteen_sentences_of_each_kind() -> None:
    assert {kind: 10 <= len(set(part)) <= 15 for kind, part in CONTENT["usage"].items()} == {
        "abuse quoted": True,
        "abuse reclaimed": True,
        "abuse negated": True,
        "profanity without a target": True,
    }


def test_every_term_is_measured_on_every_template_of_its_kind() -> None:
    sentences = Counter(term.text for term, _ in filled_templates(CONTENT))
    rows = {group["term"]: group["rows"] for group in measured([])["templates"]["groups"]}
    assert rows == {term: count for term, count in sentences.items() if term != "deaf"}


def test_a_prejudice_is_found_and_nothing_else_is_blamed() -> None:
    templates = measured([])["templates"]
    by_term = {group["term"]: group for group in templates["groups"]}
    assert by_term.pop("gay") == {
        "term": "gay", "category": "orientation", "kind": "identity", "unseen": False,
        "rows": 18, "mean_score": pytest.approx(0.99), "false_positive_rate": 1.0,
    }  # fmt: skip
    assert {group["false_positive_rate"] for group in by_term.values()} == {0.0}
    assert templates["false_positive_rate"] == 18 / (18 + sum(group["rows"] for group in by_term.values()))
    assert templates["spread"] == pytest.approx(0.98)


@pytest.mark.parametrize(("threshold", "rate"), [(0.01, 1.0), (0.99, 0.008), (0.991, 0.0)])
def test_a_false_positive_is_a_harmless_sentence_at_or_above_the_threshold(threshold: float, rate: float) -> None:
    templates = measured([], threshold)["templates"]
    assert templates["threshold"] == threshold
    assert templates["false_positive_rate"] == pytest.approx(rate, abs=0.001)


def test_usage_counts_the_sentences_tagged_toxic() -> None:
    class OffendedEngine(WordEngine):
        def model_text(self, text: str) -> str:
            return text.lower().replace("liar", "awful")

    usage = measure_bias(cast(Engine, OffendedEngine()), [])["usage"]
    assert {kind: part["rows"] for kind, part in usage.items()} == {
        kind: len(sentences) for kind, sentences in CONTENT["usage"].items()
    }
    assert {kind: part["tagged_toxic"] for kind, part in usage.items()} == {
        kind: sum("liar" in sentence for sentence in sentences) for kind, sentences in CONTENT["usage"].items()
    }


def test_subgroup_auc_ranks_only_the_rows_that_mention_the_term() -> None:
    muslim = [predicted(f"muslims, {n}", "toxic" if n % 2 else "clean", 0.9 if n % 2 else 0.1) for n in range(20)]
    gay = [predicted(f"GAY {n}", "toxic" if n % 2 else "clean", 0.1 if n % 2 else 0.9) for n in range(20)]
    other = [predicted(f"Gayle and the blindfold {n}", "toxic", 0.0) for n in range(50)]
    assert subgroups(muslim + gay + other) == {"Muslim": (20, 1.0), "gay": (20, 0.0)}


def test_a_subgroup_needs_twenty_answered_rows_and_both_labels() -> None:
    nineteen = [predicted(f"deaf {n}", "toxic" if n % 2 else "clean", 0.5) for n in range(19)]
    unanswered = Prediction(Row("deaf", {"toxicity": "clean"}, ""), {})
    unlabelled = Prediction(Row("deaf", {"sentiment": "neutral"}, ""), nineteen[0].scores)
    one_label = [predicted(f"blind {n}", "clean", n / 40) for n in range(40)]
    assert subgroups([*nineteen, unanswered, unlabelled, *one_label]) == {}


def test_a_term_is_found_however_it_is_written() -> None:
    rows = [predicted(f"those women {n}", "toxic" if n % 2 else "clean", n / 20) for n in range(20)]
    assert list(subgroups(rows)) == ["female"]


def test_a_model_without_toxicity_has_no_report_and_no_tables() -> None:
    assert measure_bias(cast(Engine, SentimentEngine()), [predicted("x", "toxic", 1)]) == {}
    assert list(bias_tables({})) == []


def test_the_tables_show_the_worst_ten_terms_every_category_and_the_unseen_terms() -> None:
    templates, usage = bias_tables(measured([]))
    first_column = list(templates.columns[0].cells)
    assert first_column[0] == "gay"
    categories = {term.category for term in terms(CONTENT)}
    assert set(list(templates.columns[1].cells)[10:]) == categories | {"not in training templates"}
    assert len(first_column) == 10 + len(categories) + 1
    assert list(usage.columns[0].cells) == list(CONTENT["usage"])


def test_subgroups_have_a_table_when_there_are_any() -> None:
    rows = [predicted(f"muslim {n}", "toxic" if n % 2 else "clean", n / 20) for n in range(20)]
    assert [list(table.columns[0].cells) for table in bias_tables(measured(rows))][1] == ["Muslim"]
