"""`moderate train prepare`: labelled comments to a split that can be trained on."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.training.commands.common import err_console, need_extra, next_step, quoted, readable_errors


def prepare(
    files: Annotated[
        list[Path], typer.Argument(help="JSONL or CSV (.gz too): text, sentiment and/or toxicity, source, language.")
    ],
    output: Annotated[Path, typer.Option(help="The directory to write; it must not exist yet.")],
    dev: Annotated[Path | None, typer.Option(help="Take the dev split from this file.")] = None,
    test: Annotated[Path | None, typer.Option(help="Take the test split from this file.")] = None,
    dev_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the rows to choose a model by.")] = 0.05,
    test_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the rows to measure by.")] = 0.05,
    assume_clean: Annotated[
        list[str] | None, typer.Option(help="A source whose training rows without a toxicity label count as clean.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, files and options give the same bytes.")] = 42,
) -> None:
    """Clean, deduplicate and split labelled comments, and report what they are like.

    Example: moderate train prepare comments.csv --output prepared
    """
    with readable_errors():
        need_extra()
        from rich.markdown import Markdown
        from rich.markup import escape

        from consumer.terminal.printing import SafeConsole, say
        from consumer.terminal.text import printable
        from consumer.training.prepare import prepare as prepare_files
        from consumer.training.prepare_markdown import markdown

        with err_console().status("starting") as status:
            report = prepare_files(
                files,
                output,
                dev=dev,
                test=test,
                dev_share=dev_share,
                test_share=test_share,
                assume_clean=assume_clean or (),
                seed=seed,
                on_step=lambda step: status.update(escape(printable(step))),
                on_note=say,
            )
    SafeConsole().print(Markdown(markdown(report)))
    next_step(f"moderate train fit {quoted(output)} --output MODEL")
