"""All rows, one after the other, and a table of what they counted: `python -m tests.chaos [ROW…] [--markdown]`."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

from tests.chaos.report import Report
from tests.chaos.scenario import Options, options_parser, perform, stop_on_sigterm

DELIVERIES = ("at-least-once", "exactly-once")
AT_LEAST_ONCE = DELIVERIES[:1]
PROTOCOLS = ("classic", "consumer")
CLASSIC = PROTOCOLS[:1]

ROWS = {
    "kill": (DELIVERIES, CLASSIC),
    "terminate": (DELIVERIES, CLASSIC),
    "rebalance": (DELIVERIES, PROTOCOLS),
    "zombie": (DELIVERIES, PROTOCOLS),
    "broker": (DELIVERIES, CLASSIC),
    "redis_faults": (AT_LEAST_ONCE, CLASSIC),
    "rejects": (DELIVERIES, CLASSIC),
    "memory": (DELIVERIES, CLASSIC),
    "hostile": (DELIVERIES, CLASSIC),
    "fuzz": (AT_LEAST_ONCE, CLASSIC),
    "load": (AT_LEAST_ONCE, CLASSIC),
    "planted": (AT_LEAST_ONCE, CLASSIC),
}
"""Each row's module, with the deliveries and the group protocols that it is run with."""


def run_all(names: list[str], options: Options) -> Iterator[tuple[str, str, Report]]:
    """Run each row in each form; yields what it is, what must hold, and the report."""
    for name in names:
        row = import_module(f"tests.chaos.{name}")
        deliveries, protocols = ROWS[name]
        for delivery in deliveries:
            for protocol in protocols:
                form = f"{delivery}, {protocol}" if len(protocols) > 1 else delivery
                report = perform(row.TITLE, row.run, replace(options, delivery=delivery, group_protocol=protocol))
                yield form, row.MUST_HOLD, report


def markdown(results: list[tuple[str, str, Report]]) -> str:
    """The results as a table for a reliability report."""
    lines = ["| what is done | delivery | must hold | counted | result | seconds |", "|---|---|---|---|---|---|"]
    for form, must_hold, report in results:
        verdict = "ok" if report.ok else f"missing: {report.problems[0].splitlines()[0]}"
        cells = report.row_title, form, must_hold, report.counts(), verdict, f"{report.seconds:.0f}"
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def plain(results: list[tuple[str, str, Report]]) -> str:
    """The results for a terminal: one line for the verdict, one for the counts."""
    return "".join(
        f"{'ok     ' if report.ok else 'MISSING'} {report.seconds:5.0f} s  {report.row_title} [{form}]\n"
        f"                 {report.counts()}\n"
        for form, _, report in results
    )


def main() -> None:
    """Exits 0 when every row held, else 1."""
    parser = options_parser("Runs all rows, or those named, and prints a table.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    arguments = vars(parser.parse_args())
    names, as_markdown = arguments.pop("rows") or list(ROWS), arguments.pop("markdown")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}")
    stop_on_sigterm()
    results = list(run_all(names, Options(**arguments)))
    sys.stdout.write(markdown(results) if as_markdown else plain(results))
    sys.exit(0 if all(report.ok for _, _, report in results) else 1)


if __name__ == "__main__":
    main()
