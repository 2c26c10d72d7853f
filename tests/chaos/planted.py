"""The proof that the harness can fail: rows run with a fault planted in the consumer must report it."""

from dataclasses import replace
from typing import NamedTuple

from tests.chaos import kill, rebalance
from tests.chaos.report import Report
from tests.chaos.scenario import Options, Run, main

TITLE = "faults planted in the consumer"
MUST_HOLD = "the harness reports each of them"
SEED = 5
"""Of kills that hit members at work: one that has not begun yet cannot lose anything."""
ATTEMPTS = 3
"""A kill may miss the moment in which the fault does harm."""


class Fault(NamedTuple):
    """A fault, the row that must find it, and words of the finding."""

    name: str
    delivery: str
    run: Run
    rounds: int
    finding: str


FAULTS = (
    Fault("commit-before-ack", "at-least-once", kill.run, 2, " comments never came out"),
    Fault("skip-flush-on-revoke", "at-least-once", rebalance.run, 1, " times: "),
    Fault("offsets-after-results", "exactly-once", kill.run, 2, " times: "),
)


def run(report: Report, options: Options) -> None:
    """A short form of a row is enough for each fault."""
    for fault in FAULTS:
        find(fault, report, options)


def find(fault: Fault, report: Report, options: Options) -> None:
    """Run the row with the fault; something is missing when the row does not report it in one of `ATTEMPTS`."""
    for attempt in range(ATTEMPTS):
        report.did(f"planted {fault.name}; what follows must find it")
        inner = Report(fault.name, fault.delivery)
        kills_at_work = replace(options, short=True, rounds=fault.rounds, seed=SEED)
        fault.run(inner, replace(kills_at_work, plant=fault.name, delivery=fault.delivery))
        if found := [problem for problem in inner.problems if fault.finding in problem]:
            report.did(f"{fault.name} was found: {found[0]}")
            report.counted(**{f"findings of {fault.name}": len(found), f"attempts at {fault.name}": attempt + 1})
            return
    report.missing(f"the harness did not find the planted fault {fault.name}: it cannot be trusted")


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
