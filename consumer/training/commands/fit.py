"""`moderate train fit`."""

from collections.abc import Collection, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from consumer.terminal.printing import say
from consumer.training.commands.common import (
    err_console,
    need_extra,
    next_step,
    progress_bar,
    quiet_libraries,
    quoted,
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
        str | None, typer.Option(help='The encoder: "bundled" (the default) or the directory of a Hugging Face one.')
    ] = None,
    continue_from: Annotated[
        str | None, typer.Option(help='Go on from this trained model instead: a directory, or "bundled".')
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(help="Corrections that `moderate feedback collect` wrote; DATA is replayed among them."),
    ] = None,
    method: Annotated[
        Literal["lora", "full"] | None,
        typer.Option(help="Train a small adapter (lora, the default), or every weight of the encoder (full)."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often the model sees every row, at most.")] = 3,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many batches.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="Peak learning rate; default: 5e-4 for an adapter, else 2e-5.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 32,
    rank: Annotated[int | None, typer.Option(min=1, help="Rank of the adapter's matrices; default: 32.")] = None,
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
    seed: Annotated[int, typer.Option(min=0, help="Same seed, data and machine, same model.")] = 42,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint of the same output.")] = False,
    tensorboard: Annotated[bool, typer.Option(help="Log for TensorBoard too (extra: tensorboard).")] = False,
) -> None:
    """Fine-tune an encoder on labelled comments and write a model directory the stream can load.

    Example: moderate train fit prepared --output runs/model && MODEL=runs/model moderate run
    """
    with readable_errors():
        need_extra()
        quiet_libraries()
        from consumer.training.counterexamples import SOURCE as COUNTEREXAMPLES
        from consumer.training.data import assume_clean as assumed
        from consumer.training.data import cleaned, mixed, read_rows, without
        from consumer.training.feedback_report import SOURCE as FEEDBACK
        from consumer.training.fit import FitOptions
        from consumer.training.fit import fit as fit_model
        from consumer.training.provenance import data_facts, file_facts

        if continue_from and (base or method or rank):
            raise TrainingError("--continue-from takes the model as it is; leave --base, --method and --rank out")
        if tensorboard and find_spec("tensorboard") is None:
            raise TrainingError('--tensorboard needs the package: pip install "comment-moderation-stream[tensorboard]"')
        train_file, dev_file = _files(data, dev)
        dev_rows = cleaned(read_rows(dev_file, say))
        rows = without(cleaned(read_rows(train_file, say)), dev_rows)
        weights = _weights(weight or ())
        named = {row.source for row in rows} | ({COUNTEREXAMPLES} if counterexamples else set())
        _require_sources("--weight", weights, named | ({FEEDBACK} if feedback else set()))
        _require_sources("--assume-clean", assume_clean or (), named)
        rows = assumed(rows, assume_clean or ())
        if feedback:
            rows = _with_feedback(feedback, rows, [*dev_rows, *_test_rows(data)], seed)
        if counterexamples:
            from consumer.training.counterexamples import counterexamples as made

            rows += cleaned(made(seed))
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
                base=base or "bundled",
                continue_from=continue_from,
                method=method or "lora",
                epochs=epochs,
                max_steps=max_steps,
                learning_rate=learning_rate,
                batch_size=batch_size,
                lora_rank=rank or 32,
                class_weights=class_weights,
                patience=patience,
                keep=keep,
                seed=seed,
                tensorboard=tensorboard,
            ),
            provenance=data_facts(data, epoch_rows, continue_from)
            | {
                "dev_file": file_facts(dev_file),
                "weights": weights,
                "assumed_clean": list(assume_clean or ()),
                "counterexamples": counterexamples,
                "varied_share": vary,
                "feedback": file_facts(feedback / "feedback.jsonl") if feedback else None,
                "teacher": teacher,
            },
            teacher=_teacher(teacher) if teacher else None,
            resume=resume,
        )
        err_console().print(f"wrote {output}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
        next_step(f"moderate train calibrate {quoted(output)} --data {quoted(dev_file)}")


def _files(data: Path, dev: Path | None) -> tuple[Path, Path]:
    if data.is_dir():
        return data / "train.jsonl.gz", dev or data / "dev.jsonl.gz"
    if not data.exists():
        raise TrainingError(f"{data} does not exist; give the directory that `moderate train prepare` wrote, or a file")
    if dev is None:
        raise TrainingError(
            f"{data} is one file: name a second one with --dev, or split it with: moderate train prepare"
        )
    return data, dev


def _test_rows(data: Path) -> "list[Row]":
    """Return the test rows in DATA: they decide what is promoted, so no correction of theirs may train."""
    from consumer.training.data import cleaned, read_rows

    test = data / "test.jsonl.gz"
    return cleaned(read_rows(test, say)) if test.is_file() else []


def _with_feedback(directory: Path, rows: "list[Row]", held_out: "list[Row]", seed: int) -> "list[Row]":
    from consumer.terminal.printing import say
    from consumer.training.data import cleaned, without
    from consumer.training.feedback import read_feedback, replay_mix, warnings_of
    from consumer.training.similar import similar_to_any

    corrections = without(cleaned(read_feedback(directory)), held_out)
    for sentence in warnings_of(directory):
        say(f"warning: {sentence}")
    similar = similar_to_any([row.text for row in corrections], [row.text for row in held_out])
    corrections = [row for row, resembles in zip(corrections, similar, strict=True) if not resembles]
    if not corrections:
        raise TrainingError(f"every correction in {directory} is on a dev or test text; collect more feedback")
    return replay_mix(corrections, rows, seed=seed)


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


def _require_sources(option: str, named: Iterable[str], known: Collection[str]) -> None:
    for source in named:
        if source not in known:
            listed = ", ".join(sorted(source or "(no source)" for source in known))
            raise TrainingError(f"{option} names {source}, but the rows come from {listed}")


def _teacher(model: str) -> "Guess":
    from consumer.model import load_engine
    from consumer.training.data import LABELS
    from consumer.training.predict import predictions

    engine = load_engine(model)
    for group, labels in engine.tag_groups.label_names().items():
        if group in LABELS and set(labels) != set(LABELS[group]):
            raise TrainingError(
                f"the {group} labels of the teacher {model} are not {', '.join(LABELS[group])}; use another"
            )

    def guess(rows: "Sequence[Row]") -> list[dict[str, dict[str, float]]]:
        with progress_bar("teacher", len(rows)) as advance:
            return [prediction.scores for prediction in predictions(engine, rows, advance)]

    return guess
