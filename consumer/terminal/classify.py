"""`moderate classify`: tags and a decision for texts given on the command line, through the engine the stream runs."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumer.answer import Unanswerable
from consumer.app import load_model
from consumer.errors import ReaderError
from consumer.settings import Settings
from consumer.terminal.display import ACTION_STYLES, shortened


def classify_texts(settings: Settings, texts: Sequence[str], *, as_json: bool) -> None:
    """Print one row, or one JSON object a line, for each text. Raises `ReaderError` for a text that makes the model
    fail."""
    engine, policy = load_model(settings)
    table = Table("text", "tags", "decision", "why")
    for text, answer in zip(texts, engine.classify([engine.model_text(text) for text in texts]), strict=True):
        if isinstance(answer, Unanswerable):
            raise ReaderError(f"The model fails on the text {shortened(text)!r}: {answer.detail}.")
        tags = engine.tag_groups.tags(answer)
        decision = policy.decide(tags)
        if as_json:
            fields = {
                "text": text,
                "tags": {group: tag.model_dump() for group, tag in tags.items()},
                "decision": decision.model_dump(),
                "truncated": answer.truncated,
                "model": {"name": engine.name, "version": engine.version},
                "policy": {"version": policy.version},
            }
            print(json.dumps(fields, ensure_ascii=False))  # noqa: T201 - this is the command's output
            continue
        scores = "\n".join(
            f"{group}: " + " ".join(f"{label} {score:.2f}" for label, score in tag.scores.items())
            for group, tag in tags.items()
        )
        table.add_row(
            Text(shortened(text)),
            Text(scores),
            Text(decision.action, ACTION_STYLES[decision.action]),
            Text(decision.reason),
        )
    if not as_json:
        Console().print(table)
