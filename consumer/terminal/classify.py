"""`moderate classify`: tags and a decision for texts given here, and which words carried them."""

from collections.abc import Sequence
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from consumer.answer import Unanswerable
from consumer.errors import ReaderError
from consumer.loading import LoadedModel, load_model
from consumer.model.explain import Explanation, explain
from consumer.one_text import of_one_text
from consumer.settings import Settings
from consumer.terminal.display import ACTION_STYLES, shortened
from consumer.terminal.explanation import as_fields, as_text
from consumer.terminal.printing import SafeConsole
from consumer.terminal.text import json_line, printable
from consumer.text_limit import judged_part


def classify_texts(settings: Settings, texts: Sequence[str], *, as_json: bool, explained: bool = False) -> None:
    """Print one row, or one JSON object a line, for each text; with `explained`, its words and what they added too.

    An explanation is made by PyTorch in fp32, whatever MODEL_BACKEND and MODEL_DTYPE say. Raises `ReaderError` for a
    text that makes the model fail.
    """
    explainable = {"model_dtype": "float32", "model_backend": "torch"}
    engine, policy = load_model(settings.model_copy(update=explainable) if explained else settings)
    table = Table("text", "tags", "decision", "why")
    explanations: list[tuple[str, list[Explanation]]] = []
    parts = [judged_part(text) for text in texts]
    model_texts = [_model_text(engine, judged) for judged, _ in parts]
    for text, (_, is_cut), model_text, answer in zip(
        texts, parts, model_texts, engine.classify(model_texts), strict=True
    ):
        if isinstance(answer, Unanswerable):
            raise _fails(text, answer)
        if is_cut:
            answer = answer._replace(truncated=True)
        tags = engine.tag_groups.tags(answer)
        decision = policy.decide(tags)
        if explained:
            explanations.append((model_text, explain(engine, model_text, answer)))
        if as_json:
            fields: dict[str, Any] = {
                "text": text,
                "tags": {group: tag._asdict() for group, tag in tags.items()},
                "decision": decision.model_dump(),
                "truncated": answer.truncated,
                "model": {"name": engine.name, "version": engine.version},
                "policy": {"version": policy.version},
            }
            if explained:
                fields["explanation"] = as_fields(*explanations[-1])
            typer.echo(json_line(fields))
            continue
        scores = "\n".join(
            printable(f"{group}: " + " ".join(f"{label} {score:.2f}" for label, score in tag.scores.items()))
            for group, tag in tags.items()
        )
        table.add_row(
            Text(shortened(text)),
            Text(scores),
            Text(decision.action, ACTION_STYLES[decision.action]),
            Text(printable(decision.reason)),
        )
    if not as_json:
        console = SafeConsole()
        console.print(table)
        for model_text, groups in explanations:
            console.print(as_text(model_text, groups))


def _model_text(engine: LoadedModel, text: str) -> str:
    """The text as the model sees it. Raises `ReaderError` where cleaning fails on it."""
    ready = of_one_text(engine.model_text, text, named="cleaning")
    if isinstance(ready, Unanswerable):
        raise _fails(text, ready)
    return ready


def _fails(text: str, why: Unanswerable) -> ReaderError:
    return ReaderError(f"The model fails on the text {shortened(text)!r}: {why.detail}.")
