"""`moderate bench`."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.errors import ReaderError
from consumer.terminal.bench_plan import DEFAULT_PEAK_FACTOR
from consumer.terminal.errors import readable_errors

DEFAULT_RATES = [1_000.0, 10_000.0, 100_000.0]


def bench(
    rates: Annotated[
        list[float],
        typer.Option(
            "--rate", min=0.001, metavar="N", help="Comments per second, mean over a day, to plan for; may be repeated."
        ),
    ] = DEFAULT_RATES,
    peak_factor: Annotated[
        float, typer.Option("--peak-factor", min=1.0, help="The busiest hour against the mean over a day.")
    ] = DEFAULT_PEAK_FACTOR,
    quick: Annotated[bool, typer.Option("--quick", help="Measure for less than a minute: rough figures.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here, too.")
    ] = None,
) -> None:
    """Measure this machine with the configured model, and say how many members and partitions a rate needs.

    It runs `moderate run` on an embedded broker and cache and needs no network; MODEL, MODEL_BACKEND, MAX_BATCH_TOKENS
    and all that does not concern Kafka or Redis is as you have set it. Leave the machine alone meanwhile.
    """
    with readable_errors():
        if json_file:
            _require_writable(json_file)
        from consumer.terminal.bench import FULL, QUICK, as_json, measure
        from consumer.terminal.bench_screen import BenchScreen, show
        from consumer.terminal.printing import SafeConsole

        effort = QUICK if quick else FULL
        console = SafeConsole()
        typer.echo(f"This takes about {effort.seconds:.0f} seconds.", err=True)
        with BenchScreen(effort.seconds) as screen:
            found = measure(effort, screen)
        plans = [found.plan(rate, peak_factor) for rate in rates]
        show(console, found, plans, peak_factor)
        if json_file:
            json_file.write_bytes(as_json(found, plans))


def _require_writable(path: Path) -> None:
    """Before minutes of measuring, not after them."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise ReaderError(f"{path} cannot be written: {error.strerror}.") from None
