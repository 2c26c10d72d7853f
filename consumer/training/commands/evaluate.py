"""`moderate train evaluate`: how good a model is, and whether it is better than another."""

import json
from pathlib import Path
from typing import Annotated

import typer

from consumer.terminal.errors import complain
from consumer.terminal.printing import SafeConsole, say
from consumer.training.commands.common import err_console, need_extra, next_step, progress_bar, quoted, readable_errors

EXIT_WORSE = 1


def evaluate(
    model: Annotated[str, typer.Argument(help='A model directory, or "bundled".')],
    data: Annotated[Path, typer.Option(help="JSONL or CSV (.gz too): text, sentiment and/or toxicity, source.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="A folder to write report.json and report.html (with plots) to.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Another model, to say whether the difference between them is real.")
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 when MODEL is really worse than that one.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Leave bias and robustness out.")] = False,
) -> None:
    """Measure a model on labelled comments, through the same engine the stream runs.

    Example: moderate train evaluate bundled --data dev.jsonl.gz --report report
    """
    with readable_errors():
        need_extra()
        from consumer.model import load_engine
        from consumer.training.bias import bias_tables
        from consumer.training.data import odd_texts, read_file
        from consumer.training.errors import TrainingError
        from consumer.training.evaluation import compare as comparing
        from consumer.training.evaluation.report import measure, measure_trust, require_folder, write
        from consumer.training.evaluation.terminal import tables
        from consumer.training.predict import predictions
        from consumer.training.robustness import robustness_tables

        if gate and compare is None:
            raise TrainingError("--gate needs a model to compare with; name it with --compare")
        if report:
            require_folder(report)
        reading = read_file(data, say)
        odd = odd_texts(str(data), reading.left_out, reading.cut)
        for note in odd:
            say(note)
        rows = [numbered.row for numbered in reading.rows]
        engine = load_engine(model, backend="auto")
        other = load_engine(compare, backend="auto") if compare else None
        with progress_bar(f"measuring {model}", len(rows)) as on_progress:
            predicted = predictions(engine, rows, on_progress)
        measured = measure(engine, predicted, data, odd)
        if other:
            with progress_bar(f"measuring {compare}", len(rows)) as on_progress:
                measured["comparison"] = comparing.compare(predicted, predictions(other, rows, on_progress), other)
        if not quick:
            with err_console().status("measuring bias and robustness"):
                measured |= measure_trust(engine, predicted)
        if report:
            write(measured, report)

    if as_json:
        typer.echo(json.dumps(measured, indent=2))
    else:
        console = SafeConsole()
        for table in tables(measured):
            console.print(table)
        if not quick:
            for table in (*bias_tables(measured["bias"]), *robustness_tables(measured["robustness"])):
                console.print(table)
    if gate:
        try:
            comparing.gate(measured["comparison"])
        except TrainingError as error:
            complain(str(error))
            raise typer.Exit(EXIT_WORSE) from error
    _advise(model, data, report)


def _advise(model: str, data: Path, report: Path | None) -> None:
    if report:
        next_step(f"open {quoted(report / 'report.html')} in a browser")
    else:
        next_step(f"moderate train evaluate {quoted(model)} --data {quoted(data)} --report report")
