"""An explanation on a terminal, readable without colours too, and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from consumer.model.explain import Explanation, Word
from consumer.terminal.text import printable

_LISTED_WORDS = 8
_SMALLEST_SHOWN = 0.005  # it reads 0.01
_TOWARDS_RGB, _AGAINST_RGB = (214, 39, 40), (31, 119, 180)


def as_fields(model_text: str, explanations: Sequence[Explanation]) -> dict[str, Any]:
    """The explanations of one text as they stand in JSON: offsets count characters of `model_text`."""
    return {
        "model_text": model_text,
        "groups": {
            explanation.group: {
                "label": explanation.label,
                "towards": explanation.towards,
                "score": explanation.score,
                "baseline_score": explanation.baseline_score,
                "words": [word._asdict() for word in explanation.words],
                "sum": explanation.total,
                "completeness_error": explanation.completeness_error,
            }
            for explanation in explanations
        },
    }


def as_text(model_text: str, explanations: Sequence[Explanation]) -> Text:
    """The text once per tag group, red where a word pushes towards the label and blue where against, and the words that
    did most with what they added to the score."""
    note = Text("(the model's own scores, before any doubt about the text's language)\n", "dim")
    return Text("\n").join([Text(), note, *(_group(model_text, explanation) for explanation in explanations)])


def _group(model_text: str, explanation: Explanation) -> Text:
    towards = printable(explanation.towards)
    heading = f"{printable(explanation.group)}: {printable(explanation.label)}"
    if explanation.towards != explanation.label:
        heading += f", which is the absence of {towards}; what speaks for {towards} is shown"
    coloured = Text(printable(model_text))
    largest = max((abs(word.attribution) for word in explanation.words), default=0.0)
    for word in explanation.words:
        if abs(word.attribution) >= _SMALLEST_SHOWN:
            coloured.stylize(_style(word.attribution / largest), word.start, word.end)
    listed = sorted(explanation.words, key=lambda word: -abs(word.attribution))[:_LISTED_WORDS]
    return Text("\n").join(
        [
            Text(heading, "bold"),
            coloured,
            Text("  ".join(map(_signed, listed)) or "no words"),
            Text(
                f"{towards} {explanation.score:.2f} = {explanation.baseline_score:.2f} without any word "
                f"{explanation.total:+.2f} from its words (error {explanation.completeness_error:.4f})\n",
                "dim",
            ),
        ]
    )


def _signed(word: Word) -> str:
    return f"{printable(word.text)} {word.attribution:+.2f}"


def _style(share: float) -> str:
    """The more a word did, compared with the word that did most, the fuller its background."""
    full = _TOWARDS_RGB if share > 0 else _AGAINST_RGB
    # Not down to white: on a dark terminal that would be the loudest of all.
    red, green, blue = (round(255 - (255 - channel) * max(abs(share), 0.25)) for channel in full)
    return f"black on rgb({red},{green},{blue})" if abs(share) < 0.6 else f"bold white on rgb({red},{green},{blue})"
