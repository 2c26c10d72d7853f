"""The consumer under test: `moderate run` itself, with a model that needs no start-up.

CHAOS_SECONDS_PER_TEXT is what each text costs; CHAOS_PLANT names a fault to plant (see `faults.py`).
"""

# ruff: noqa: E402
import os
import sys
from collections.abc import Generator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, cast

# torch takes seconds to import, and on a machine with two cores a starting member would starve the others.
for module, name in (("consumer.model.engine", "Engine"), ("consumer.model.load", "load_engine")):
    sys.modules[module] = cast(ModuleType, SimpleNamespace(**{name: None}))

import consumer.app
import consumer.cli
from consumer.answer import Answer, Unanswerable
from consumer.policy import Policy
from consumer.settings import Settings
from tests.chaos.faults import plant
from tests.fakes import WordEngine


class ForgetfulEngine(WordEngine):
    """Keeps no list of what it classified: a member's memory is measured."""

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        answers = super().classify(model_texts)
        self.classified.clear()
        return answers

    def steps(self, model_texts: Sequence[str]) -> Generator[bool, None, list[Answer | Unanswerable]]:
        """All in one pass: the time of the stream's own work is measured too."""
        yield False
        return self.classify(model_texts)


def _load_model(_settings: Settings, _on_pass: object = None) -> tuple[Any, Policy]:
    return ForgetfulEngine(float(os.environ.get("CHAOS_SECONDS_PER_TEXT", "0"))), Policy()


if __name__ == "__main__":
    plant(os.environ.get("CHAOS_PLANT", ""))
    consumer.app.load_model = _load_model  # type: ignore
    consumer.cli.app(["run"])
