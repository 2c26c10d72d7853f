"""How far figures would move on other rows of the same kind: bootstrap intervals.

Drawing n rows with replacement and counting the cells of their confusion matrix is one multinomial draw over the
cells, so a thousand resamples are one call of numpy, whatever the number of rows.
"""

import numpy as np

from consumer.training.evaluation.answers import Answers, Floats, Integers
from consumer.training.evaluation.measures import figures

RESAMPLES = 1000
SEED = 42
_PERCENTILES = (2.5, 97.5)


def intervals(answers: Answers) -> dict[str, list[float]]:
    """Return the 95 % intervals (percentile bootstrap, Efron 1979) of accuracy, macro-F1 and macro-recall."""
    resampled = figures(resamples(answers.confusion()))
    macro = resampled.macro()
    return {
        "accuracy": interval(resampled.accuracy),
        "macro_f1": interval(macro["f1"]),
        "macro_recall": interval(macro["recall"]),
    }


def resamples(counts: Integers) -> Integers:
    """Return the counts of a thousand resamples, shape (1000, *counts.shape); the same counts give the same ones."""
    rows = counts.sum()
    drawn = np.random.default_rng(SEED).multinomial(rows, counts.ravel() / rows, size=RESAMPLES)
    return drawn.reshape(RESAMPLES, *counts.shape)


def interval(values: Floats) -> list[float]:
    """Return the bounds that hold the middle 95 % of the values."""
    return [float(bound) for bound in np.percentile(values, _PERCENTILES)]
