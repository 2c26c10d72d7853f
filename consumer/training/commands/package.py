"""`moderate train package`."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.training.commands.common import (
    err_console,
    need_extra,
    next_step,
    quiet_libraries,
    quoted,
    readable_errors,
)


def package(
    model: Annotated[Path, typer.Argument(help="A model directory that `moderate train fit` wrote.")],
    output: Annotated[Path, typer.Option(help="The directory to write; it must not exist yet.")],
    metrics: Annotated[
        Path | None, typer.Option(help="report.json of `moderate train evaluate --report`, for the model card.")
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name in its card; default: the output's.")] = "",
    merge: Annotated[bool, typer.Option(help="Write whole weights, also where an adapter would do.")] = False,
) -> None:
    """Write a self-contained model directory with its card, figures, provenance and fingerprint.

    Example: moderate train package runs/model --output models/mine --metrics runs/model-report/report.json
    """
    with readable_errors():
        need_extra()
        quiet_libraries()
        from consumer.training.package import package as write

        version = write(model, output, metrics, name=name or output.name, merge=merge)
        err_console().print(f"wrote {output}, version {version}: the version that every tagged comment will carry")
        next_step(f"MODEL={quoted(output)} moderate run")
