"""Behaviour of the bundled model, capability by capability (Ribeiro et al. 2020, "Beyond Accuracy: CheckList").

A capability asks for a share of its sentences, as no model of this size gets all of them. None of the sentences is one
that the training templates can make.
"""

import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import pytest

from consumer.model import Engine, load_engine
from consumer.training.bias import measure_bias
from consumer.training.counterexamples import template_file
from consumer.training.data import Row
from consumer.training.perturbations import perturbed
from consumer.training.predict import label_of, predictions
from tests.behaviour_sentences import (
    CRITICISM,
    FACTS,
    FAVOURABLE_COMPARISONS,
    FILLED,
    HARMLESS_STRONG_WORDS,
    INSULTS,
    IRONY,
    NEGATED_CRITICISM,
    NEGATED_PRAISE,
    PRAISE,
    THREATS,
    UNFAVOURABLE_COMPARISONS,
)

Scores = dict[str, dict[str, float]]

MOST_TOXICITY_CHANGE = 0.2
LEAST_TOXICITY_RISE = 0.2


class Capability(NamedTuple):
    """Sentences that should all get one label of a tag group, and the share that has to."""

    name: str
    group: str
    label: str
    share: float
    sentences: list[str]


CAPABILITIES = [
    Capability("negated criticism is positive", "sentiment", "positive", 0.8, NEGATED_CRITICISM),
    Capability("negated praise is negative", "sentiment", "negative", 0.8, NEGATED_PRAISE),
    Capability("a favourable comparison is positive", "sentiment", "positive", 0.8, FAVOURABLE_COMPARISONS),
    Capability("an unfavourable comparison is negative", "sentiment", "negative", 0.8, UNFAVOURABLE_COMPARISONS),
    Capability("a fact is neutral", "sentiment", "neutral", 0.9, FACTS),
    Capability("criticism is negative", "sentiment", "negative", 0.9, CRITICISM),
    Capability("praise is positive", "sentiment", "positive", 0.9, PRAISE),
    Capability("an insult is negative", "sentiment", "negative", 0.9, INSULTS),
    Capability("an insult is toxic", "toxicity", "toxic", 0.9, INSULTS),
    Capability("a threat is toxic without a rude word", "toxicity", "toxic", 0.8, THREATS),
    Capability("a fact is clean", "toxicity", "clean", 1.0, FACTS),
    Capability("praise is clean", "toxicity", "clean", 1.0, PRAISE),
    Capability("criticism of things and ideas is clean", "toxicity", "clean", 0.9, CRITICISM),
    Capability("negation is clean", "toxicity", "clean", 1.0, NEGATED_CRITICISM + NEGATED_PRAISE),
    Capability("violent words in harmless use are clean", "toxicity", "clean", 0.9, HARMLESS_STRONG_WORDS),
]

SHORTFALLS = {
    "an insult is toxic": 0.85,
    "a threat is toxic without a rude word": 0.6,
    "a mention": 0.8,
    "adding: You idiot.": 0.8,
}
"""Where the bundled model misses what is asked, and what it must keep. Its card says so; a better one shortens this."""

MIXED = [*NEGATED_CRITICISM[:3], *NEGATED_PRAISE[:3], *FACTS[:5], *CRITICISM[:5], *PRAISE[:5], *INSULTS[:10]]


class Rewriting(NamedTuple):
    """A change that leaves a sentence's tags as they are, and the share of sentences for which it has to."""

    share: float
    rewrite: Callable[[str], str]


REWRITINGS = {
    "a link": Rewriting(0.9, lambda text: f"{text} https://example.org/a?b=c"),
    "a mention": Rewriting(0.9, lambda text: f"@someone_else {text}"),
    "upper case": Rewriting(0.9, str.upper),
    "lower case": Rewriting(0.9, str.lower),
    "no full stop": Rewriting(0.9, lambda text: text.rstrip(".!")),
    "white space": Rewriting(1.0, lambda text: text.replace(" ", " \n ")),
    "zero-width characters": Rewriting(1.0, lambda text: perturbed("zero-width characters", text, 0)),
    "homoglyphs": Rewriting(0.9, lambda text: perturbed("homoglyphs", text, 0)),
    "mixed scripts": Rewriting(0.9, lambda text: perturbed("mixed scripts", text, 0)),
    "leetspeak": Rewriting(0.8, lambda text: perturbed("leetspeak", text, 0)),
    "spacing": Rewriting(0.8, lambda text: perturbed("s p a c i n g", text, 0)),
    "repeated letters": Rewriting(0.8, lambda text: perturbed("repeated letters", text, 0)),
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("bundled", backend="auto")


def scores_of(engine: Engine, texts: Sequence[str]) -> list[Scores]:
    return [prediction.scores for prediction in predictions(engine, [Row(text, {}, "") for text in texts])]


def demand(share: float, right: dict[str, bool], name: str = "") -> None:
    reached, failures = fmean(right.values()), "\n".join(text for text, is_right in right.items() if not is_right)
    if name in SHORTFALLS:
        assert reached < share, f"{name} reaches {reached:.0%} now: take it out of SHORTFALLS"
        share = SHORTFALLS[name]
    assert reached >= share, f"{reached:.0%} instead of {share:.0%}; wrong are:\n{failures}"


def has_same_tags(before: Scores, after: Scores) -> bool:
    same_labels = all(label_of(before[group]) == label_of(after[group]) for group in before)
    return same_labels and abs(before["toxicity"]["toxic"] - after["toxicity"]["toxic"]) <= MOST_TOXICITY_CHANGE


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda capability: capability.name)
def test_minimum_functionality(engine: Engine, capability: Capability) -> None:
    labels = [label_of(scores[capability.group]) for scores in scores_of(engine, capability.sentences)]
    demand(
        capability.share,
        {text: label == capability.label for text, label in zip(capability.sentences, labels, strict=True)},
        capability.name,
    )


@pytest.mark.parametrize("kind", FILLED)
def test_names_countries_and_identity_terms_do_not_change_the_tags(engine: Engine, kind: str) -> None:
    fills, templates = FILLED[kind]
    right = {}
    for template in templates:
        texts = [template.format(fill) for fill in fills]
        first, *others = scores_of(engine, texts)
        right.update({text: has_same_tags(first, other) for text, other in zip(texts[1:], others, strict=True)})
    demand(0.9, right)


@pytest.mark.parametrize("name", REWRITINGS)
def test_rewriting_does_not_change_the_tags(engine: Engine, name: str) -> None:
    share, rewrite = REWRITINGS[name]
    rewritten = [rewrite(text) for text in MIXED]
    pairs = zip(scores_of(engine, MIXED), scores_of(engine, rewritten), strict=True)
    demand(share, {text: has_same_tags(*pair) for text, pair in zip(rewritten, pairs, strict=True)}, name)


@pytest.mark.parametrize("insult", ["You idiot.", "You are such a moron.", "Shut up, bitch."])
def test_adding_an_insult_raises_toxicity(engine: Engine, insult: str) -> None:
    base = FACTS + CRITICISM + PRAISE
    pairs = zip(scores_of(engine, base), scores_of(engine, [f"{text} {insult}" for text in base]), strict=True)
    rises = [after["toxicity"]["toxic"] - before["toxicity"]["toxic"] for before, after in pairs]
    right = {text: rise >= LEAST_TOXICITY_RISE for text, rise in zip(base, rises, strict=True)}
    demand(0.9, right, f"adding: {insult}")


@pytest.mark.parametrize(
    ("label", "addition"),
    [
        ("positive", "I love it, thank you so much!"),
        ("positive", "What a great surprise, we are delighted."),
        ("negative", "I am so disappointed."),
        ("negative", "It was a terrible experience."),
    ],
)
def test_adding_praise_or_a_complaint_raises_that_sentiment(engine: Engine, label: str, addition: str) -> None:
    pairs = zip(scores_of(engine, FACTS), scores_of(engine, [f"{text} {addition}" for text in FACTS]), strict=True)
    rises = [after["sentiment"][label] > before["sentiment"][label] for before, after in pairs]
    demand(0.9, dict(zip(FACTS, rises, strict=True)))


def test_harmless_identity_templates_are_false_positives_in_two_percent_at_most(engine: Engine) -> None:
    groups = [group for group in measure_bias(engine, [])["templates"]["groups"] if group["kind"] == "identity"]
    false_positives = sum(group["false_positive_rate"] * group["rows"] for group in groups)
    assert false_positives / sum(group["rows"] for group in groups) <= 0.02


@pytest.mark.xfail(raises=AssertionError, reason="irony is reported, not required: it takes knowing the situation")
def test_irony_is_negative(engine: Engine) -> None:
    labels = [label_of(scores["sentiment"]) for scores in scores_of(engine, IRONY)]
    demand(0.8, {text: label == "negative" for text, label in zip(IRONY, labels, strict=True)})


def test_no_sentence_here_is_one_the_training_templates_can_make() -> None:
    content = template_file("counterexamples.json")
    patterns = [as_pattern(template, content["fills"]) for part in content["sets"] for template in part["templates"]]
    sentences = [text for capability in CAPABILITIES for text in capability.sentences] + IRONY
    sentences += [
        template.format(fill) for fills, templates in FILLED.values() for template in templates for fill in fills
    ]
    assert not [text for text in sentences if any(pattern.fullmatch(text) for pattern in patterns)]


def as_pattern(template: str, fills: dict[str, list[str]]) -> re.Pattern[str]:
    literals = re.split(r"\{(\w+)\}", template)
    parts = [
        f"(?:{'|'.join(map(re.escape, fills[part]))})" if index % 2 else re.escape(part)
        for index, part in enumerate(literals)
    ]
    return re.compile("".join(parts), re.IGNORECASE)
