"""Collected feedback as training rows, and the old rows to mix in so that learning from it forgets nothing."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from consumer.training.data import Row, read_rows, without
from consumer.training.errors import TrainingError
from consumer.training.feedback_journal import REPORT, ROWS
from consumer.training.feedback_report import version_of


def read_feedback(directory: Path) -> list[Row]:
    """Read the rows of a dataset that `moderate feedback collect` wrote.

    Raises TrainingError when the directory is no such dataset, was changed by hand, or holds no correction.
    """
    try:
        content = (directory / ROWS).read_bytes()
        report = json.loads((directory / REPORT).read_bytes())
    except (OSError, ValueError, RecursionError):
        raise TrainingError(
            f"{directory} is no feedback dataset; write one with `moderate feedback collect {directory}`"
        ) from None
    if not isinstance(report, dict) or report.get("version") != version_of(content):
        raise TrainingError(
            f"{directory / ROWS} is not the version that {REPORT} names; run `moderate feedback collect {directory}` "
            "again, which writes both anew"
        )
    if not content:
        raise TrainingError(f"{directory} holds no corrections to train on yet; collect some first")
    return read_rows(directory / ROWS)


def warnings_of(directory: Path) -> list[str]:
    """What `moderate feedback collect` warns of in a dataset that `read_feedback` has read, a sentence each."""
    said = json.loads((directory / REPORT).read_bytes()).get("warnings", [])
    return [sentence for sentence in said if isinstance(sentence, str)] if isinstance(said, list) else []


def replay_mix(feedback: Sequence[Row], old: Sequence[Row], *, old_per_feedback: float = 4.0, seed: int) -> list[Row]:
    """Return the feedback rows and, for each of them, `old_per_feedback` old rows (all, if there are fewer).

    Trained on corrections alone a model forgets the rest; replaying a sample of the old data prevents most of that
    (experience replay: Rolnick et al. 2019, arXiv:1811.11682). The sample keeps the shares of the old rows' sources and
    labels, beginning with one row of each such stratum. Old rows whose text was corrected are left out. Equal
    arguments give equal rows.
    """
    strata: dict[tuple[str, tuple[tuple[str, str], ...]], list[Row]] = {}
    for row in without(old, feedback):
        strata.setdefault((row.source, tuple(sorted(row.labels.items()))), []).append(row)
    chance = random.Random(seed)  # noqa: S311 - not a secret
    # Rows of a stratum are spread evenly over 0..1: any stretch from 0 holds about the same share of every stratum.
    spread = [
        (rank / len(rows), row)
        for _, rows in sorted(strata.items())
        for rank, row in enumerate(chance.sample(rows, len(rows)))
    ]
    spread.sort(key=lambda ranked: ranked[0])
    return [*feedback, *(row for _, row in spread[: round(old_per_feedback * len(feedback))])]
