"""`moderate train fit`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from consumer.training.commands.common import (
    err_console,
    need_extra,
    next_step,
    progress_bar,
    quiet_libraries,
    readable_errors,
)
from consumer.training.errors import TrainingError

if TYPE_CHECKING:
    from consumer.training.data import Row
    from consumer.training.fit import Guess


def fit(
    data: Annotated[Path, typer.Argument(help="What `prepare` wrote, or one file of rows (then --dev is needed too).")],
    output: Annotated[Path, typer.Option(help="The model directory to write; it must not exist yet.")],
    dev: Annotated[Path | None, typer.Option(help="Rows that choose the best checkpoint; default: DATA's own.")] = None,
    base: Annotated[
        str, typer.Option(help='The encoder: "bundled" or the directory of a Hugging Face one.')
    ] = "bundled",
    continue_from: Annotated[
        str | None, typer.Option(help='Go on from this trained model instead: a directory, or "bundled".')
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(help="Corrections that `moderate feedback collect` wrote; DATA is replayed among them."),
    ] = None,
    method: Annotated[
        Literal["lora", "full"], typer.Option(help="Train a small adapter, or every weight of the encoder.")
    ] = "lora",
    epochs: Annotated[int, typer.Option(min=1, help="How often the model sees every row, at most.")] = 3,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many batches.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0.0, help="Peak learning rate; default: 5e-4 for lora, 2e-5 for full.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 32,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter's matrices.")] = 32,
    patience: Annotated[int, typer.Option(min=1, help="Evaluations (two an epoch) without progress that end it.")] = 4,
    keep: Annotated[
        Literal["best", "last"],
        typer.Option(help="The best checkpoint on dev, or the weights at the end (to average)."),
    ] = "best",
    class_weights: Annotated[bool, typer.Option(help="Let every label of a group weigh the same.")] = False,
    assume_clean: Annotated[
        list[str] | None, typer.Option(help="A source whose rows without a toxicity label count as clean.")
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="SOURCE=FACTOR: how often an epoch shows the rows of a source.")
    ] = None,
    counterexamples: Annotated[
        bool, typer.Option(help="Add the sentences this project makes from templates, against bias and blind spots.")
    ] = False,
    vary: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of rows with a mention, link, typo or disguise put in or out."),
    ] = 0.0,
    teacher: Annotated[
        str | None, typer.Option(help="A trained model whose scores stand in for the labels that rows lack.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model on the same machine.")] = 42,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint of the same output.")] = False,
    tensorboard: Annotated[bool, typer.Option(help="Log for TensorBoard too (extra: tensorboard).")] = False,
) -> None:
    """Fine-tune an encoder on labelled comments and write a model directory the stream can load.

    Example: moderate train fit prepared --output runs/model && MODEL=runs/model moderate run
    """
    with readable_errors():
        need_extra()
        quiet_libraries()
        from consumer.training.data import assume_clean as assumed
        from consumer.training.data import cleaned, mixed, read_rows, without
        from consumer.training.fit import FitOptions
        from consumer.training.fit import fit as fit_model

        train_file, dev_file = _files(data, dev)
        dev_rows = cleaned(read_rows(dev_file))
        rows = assumed(without(cleaned(read_rows(train_file)), dev_rows), assume_clean or ())
        if feedback:
            rows = _with_feedback(feedback, rows, dev_rows, seed)
        if counterexamples:
            from consumer.training.counterexamples import counterexamples as made

            rows += cleaned(made(seed))
        weights = _weights(weight or ())
        _require_sources("--weight", weights, rows)
        _require_sources("--assume-clean", assume_clean or (), rows)
        epoch_rows = mixed(rows, weights, seed)
        if vary:
            from consumer.training.variations import varied

            epoch_rows = varied(epoch_rows, vary, seed)
        err_console().print(
            f"{len(rows):,} rows to train on, {len(epoch_rows):,} an epoch; {len(dev_rows):,} to choose by"
        )
        metrics = fit_model(
            epoch_rows,
            dev_rows,
            output,
            FitOptions(
                base=base,
                continue_from=continue_from,
                method=method,
                epochs=epochs,
                max_steps=max_steps,
                learning_rate=learning_rate,
                batch_size=batch_size,
                lora_rank=rank,
                class_weights=class_weights,
                patience=patience,
                keep=keep,
                seed=seed,
                tensorboard=tensorboard,
            ),
            provenance=_provenance(data, rows, weight or (), assume_clean or (), teacher) | {"varied_share": vary},
            teacher=_teacher(teacher) if teacher else None,
            resume=resume,
        )
        err_console().print(f"wrote {output}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
        next_step(f"moderate train calibrate {output} --data {dev_file}")


def _files(data: Path, dev: Path | None) -> tuple[Path, Path]:
    if data.is_dir():
        return data / "train.jsonl.gz", dev or data / "dev.jsonl.gz"
    if dev is None:
        raise TrainingError(
            f"{data} is one file: name a second one with --dev, or split it with: moderate train prepare"
        )
    return data, dev


def _with_feedback(directory: Path, rows: "list[Row]", dev: "list[Row]", seed: int) -> "list[Row]":
    from consumer.training.data import cleaned, without
    from consumer.training.feedback import read_feedback, replay_mix

    corrections = without(cleaned(read_feedback(directory)), dev)
    if not corrections:
        raise TrainingError(f"every correction in {directory} is on a text of the dev rows; collect more feedback")
    return replay_mix(corrections, without(rows, corrections), seed=seed)


def _weights(options: Sequence[str]) -> dict[str, float]:
    weights = {}
    for option in options:
        source, _, factor = option.rpartition("=")
        try:
            weights[source] = float(factor)
        except ValueError:
            raise TrainingError(f'--weight is "{option}"; write SOURCE=FACTOR, as in customer-reviews=3') from None
        if not 0 <= weights[source] <= 100:
            raise TrainingError(f'--weight is "{option}"; the factor must be in 0..100')
    return weights


def _require_sources(option: str, named: Iterable[str], rows: "Sequence[Row]") -> None:
    known = {row.source for row in rows}
    for source in named:
        if source not in known:
            raise TrainingError(
                f"{option} names {source}, but the rows come from {', '.join(sorted(known)) or 'no source'}"
            )


def _teacher(model: str) -> "Guess":
    from consumer.model import load_engine
    from consumer.training.predict import predictions

    engine = load_engine(model)

    def guess(rows: "Sequence[Row]") -> list[dict[str, dict[str, float]]]:
        with progress_bar("teacher", len(rows)) as advance:
            return [prediction.scores for prediction in predictions(engine, rows, advance)]

    return guess


def _provenance(
    data: Path, rows: "list[Row]", weights: Sequence[str], assumed_clean: Sequence[str], teacher: str | None
) -> dict[str, Any]:
    """What the model directory says of its data: `prepare`'s report if there is one, and how the rows were mixed."""
    by_source: dict[str, int] = {}
    for row in rows:
        by_source[row.source] = by_source.get(row.source, 0) + 1
    report = data / "report.json"
    return {
        "rows": len(rows),
        "rows_by_source": by_source,
        "weights": list(weights),
        "assumed_clean": list(assumed_clean),
        "teacher": teacher,
        "files": json.loads(report.read_text()).get("files", []) if report.is_file() else [{"path": data.name}],
    }
