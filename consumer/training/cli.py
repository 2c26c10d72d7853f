"""The commands of `moderate train`: from labelled comments to a model directory, with numbers."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from consumer.errors import ReaderError

train_app = typer.Typer(no_args_is_help=True, help="Train a model on labelled comments, and measure it.")


@train_app.command()
def fit(
    train: Annotated[Path, typer.Argument(help="JSONL or CSV (.gz too): text, sentiment and/or toxicity, source.")],
    output: Annotated[Path, typer.Argument(help="The model directory to write; it must not exist yet.")],
    dev: Annotated[Path, typer.Option(help="Rows of the same form that choose the best checkpoint.")],
    base: Annotated[
        str, typer.Option(help='The encoder: "bundled" or the directory of a Hugging Face model.')
    ] = "bundled",
    epochs: Annotated[int, typer.Option(min=1, help="How often the model sees every row, at most.")] = 1,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many batches.")] = None,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, help="Peak learning rate of the adapter and the head.")
    ] = 5e-4,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 32,
    class_weights: Annotated[bool, typer.Option(help="Let every label of a group weigh the same.")] = False,
    assume_clean: Annotated[
        list[str] | None, typer.Option(help="A source whose rows without a toxicity label count as clean.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model.")] = 42,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint of the same output.")] = False,
) -> None:
    """Fine-tune an encoder on labelled comments and write a model directory the stream can load.

    Example: moderate train fit train.jsonl.gz my-model --dev dev.jsonl.gz, then MODEL=my-model moderate run.
    """
    _need_extra()
    from consumer.training.data import assume_clean as assumed
    from consumer.training.data import cleaned, read_rows, without
    from consumer.training.fit import FitOptions
    from consumer.training.fit import fit as fit_model

    console = Console(stderr=True)
    options = FitOptions(
        base=base,
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        class_weights=class_weights,
        seed=seed,
    )
    try:
        dev_rows = cleaned(read_rows(dev))
        read = read_rows(train)
        train_rows = assumed(without(cleaned(read), dev_rows), assume_clean or ())
        console.print(f"{len(train_rows)} of {len(read)} rows to train on, {len(dev_rows)} to choose by")
        fit_model(train_rows, dev_rows, output, options, resume=resume)
    except ReaderError as error:
        raise _refusal(error) from error
    console.print(
        f"wrote {escape(str(output))}; next: moderate train evaluate {escape(str(output))} --data {escape(str(dev))}",
        soft_wrap=True,
    )


@train_app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help='A model directory, or "bundled".')],
    data: Annotated[Path, typer.Option(help="JSONL or CSV (.gz too): text, sentiment and/or toxicity, source.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")] = False,
) -> None:
    """Measure a model on labelled comments, through the same engine the stream runs.

    Example: moderate train evaluate bundled --data dev.jsonl.gz
    """
    _need_extra()
    from consumer.model import load_engine
    from consumer.training.data import read_rows
    from consumer.training.evaluate import evaluate as evaluate_model
    from consumer.training.evaluate import tables

    try:
        rows = read_rows(data)
        report = evaluate_model(load_engine(model), rows)
    except ReaderError as error:
        raise _refusal(error) from error
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    console = Console()
    for table in tables(report):
        console.print(table)


def _need_extra() -> None:
    missing = [name for name in ("accelerate", "sklearn") if find_spec(name) is None]
    if missing:
        raise _refusal('training needs more packages; run: pip install "comment-moderation-stream[train]"')


def _refusal(reason: object) -> typer.Exit:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(str(reason))}", highlight=False, soft_wrap=True)
    return typer.Exit(2)
