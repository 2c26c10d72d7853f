"""The course of a training: a CSV line per log entry of the Trainer, and a plot of loss and dev metrics."""

import csv
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from consumer.training.data import LABELS

_FIELDS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "eval_loss",
    "eval_macro_f1",
    *(f"eval_{group}_macro_f1" for group in LABELS),
)


class Log(TrainerCallback):
    """Keeps the Trainer's whole history, of a resumed run too, in one CSV file, and says how each evaluation went."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the Trainer names its arguments
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write the file anew, and one line to standard error for an evaluation."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("w", newline="") as file:
            writer = csv.DictWriter(file, _FIELDS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(entry for entry in state.log_history if {"loss", "eval_loss"} & entry.keys())
        if logs and "eval_macro_f1" in logs:
            figures = ", ".join(f"{name} {logs[name]:.3f}" for name in _FIELDS[4:] if name in logs)
            sys.stderr.write(f"\nstep {state.global_step}: {figures}\n")


def plot(log: Path, png: Path) -> None:
    """Draw loss (left) and dev macro-F1 (right) over the steps in the CSV file `log`."""
    with log.open() as file:
        entries = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, title in (("loss", "training"), ("eval_loss", "dev")):
        left.plot(*_series(entries, name), marker=".", label=title)
    left.set(xlabel="step", title="loss")
    for name in _FIELDS:
        steps, values = _series(entries, name)
        if name.endswith("macro_f1") and values:
            right.plot(steps, values, marker=".", label=name.removeprefix("eval_").replace("_", " "))
    right.set(xlabel="step", title="macro-F1 on dev")
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(png, dpi=120)
    plt.close(figure)


def _series(entries: list[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    given = [entry for entry in entries if entry[name]]
    return [int(entry["step"]) for entry in given], [float(entry[name]) for entry in given]
