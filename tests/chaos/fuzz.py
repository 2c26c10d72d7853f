"""Hostile inputs to every way in, for ten minutes: what raises, crawls, loses or misleads is found and made small."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings

from consumer.model.load import load_engine
from tests.chaos.fuzz_files import file_targets
from tests.chaos.fuzz_targets import CleaningEngine, Target, targets
from tests.chaos.report import Report
from tests.chaos.scenario import Options, main
from tests.http_serving import serving

TITLE = "hostile inputs to cleaning, records, stream, HTTP, files and training (hypothesis)"
MUST_HOLD = "no step raises, crawls or loses one; what comes out is what was sent"

SECONDS, SECONDS_SHORT = 600.0, 20.0
MOST_SHOWN = 1_000
EXAMPLES_A_ROUND = 50
"""hypothesis keeps no time, so it is asked for a few examples at a time; each round has a seed of its own."""


def run(report: Report, options: Options) -> None:
    """Each way in has an equal share of the time; the first fault of each is shown in its smallest form."""
    report.did(f"seed {options.seed}")
    seconds = SECONDS_SHORT if options.short else SECONDS
    with ExitStack() as stack:
        stack.enter_context(quiet())
        server = stack.enter_context(serving(CleaningEngine()))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        all_targets = [*targets(server, load_engine("bundled").model_text), *file_targets(folder)]
        for target in all_targets:
            examples, fault = fuzz(target, seconds / len(all_targets), options.seed)
            report.counted(**{target.name: examples})
            if fault:
                report.missing(f"{target.name}: {fault}")


def fuzz(target: Target, seconds: float, seed_number: int) -> tuple[int, str]:
    """Give `target` inputs for so long; returns how many, and its first fault in its smallest form."""
    given_to_it: Counter[str] = Counter()
    ends_at_s = time.monotonic() + seconds
    round_number = 0

    def count_and_check(value: Any) -> None:
        given_to_it[target.name] += 1
        target.check(value)

    while time.monotonic() < ends_at_s:
        run_round = given(target.inputs)(count_and_check)
        run_round = settings(
            max_examples=EXAMPLES_A_ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )(seed(seed_number + round_number)(run_round))
        round_number += 1
        try:
            run_round()
        except Exception as error:
            return given_to_it[target.name], _shown(error)
    return given_to_it[target.name], ""


def _shown(error: Exception) -> str:
    """What happened, and what hypothesis notes of the input; a hostile one may be of any length."""
    lines = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
    return "\n".join(line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]} …" for line in lines)


@contextmanager
def quiet() -> Iterator[None]:
    """Without log lines: a stage logs a line for each batch, and there are thousands."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
