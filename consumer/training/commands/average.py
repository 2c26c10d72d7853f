"""`moderate train average`."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.training.commands.common import err_console, need_extra, next_step, quoted, readable_errors


def average(
    models: Annotated[list[Path], typer.Argument(help="Model directories that continue one another.")],
    output: Annotated[Path, typer.Option(help="The model directory to write; it must not exist yet.")],
) -> None:
    """Average the weights of models of one lineage: often better than each, at no cost when it runs.

    Example: moderate train average runs/first runs/second --output runs/both
    """
    with readable_errors():
        need_extra()
        from consumer.training.average import average as write

        write(models, output)
        err_console().print(f"wrote {output}")
        next_step(f"moderate train calibrate {quoted(output)} --data DEV")
