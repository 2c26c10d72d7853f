"""Asks the model for each text once, however many comments in flight have it."""

from collections import deque
from collections.abc import Mapping, Sequence

from consumer.batch import Asked, Item
from consumer.parts import Engine

BATCHES_AHEAD = 2
"""Batches between being asked for and being in the cache: one that waits for the classify stage, and one in it."""


class Asking:
    """Hands texts to the model without waiting for it, so that the next batch's passes begin where those of the batch
    before end: 1.05 times the comments per second. What is asked for is answered, also when its partition is lost
    meanwhile. Belongs to the prepare stage.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ahead: deque[Mapping[bytes, Asked]] = deque(maxlen=BATCHES_AHEAD)

    def ask(self, items: Sequence[Item]) -> None:
        """Say in `asked` of each item of a batch where its answer will be; to a text that is with the model already,
        or comes more than once, it is a repeat's."""
        known = {key: asked for batch in self._ahead for key, asked in batch.items()}
        firsts: dict[bytes, Item] = {}
        for item in items:
            is_first = item.cache_key not in known and firsts.setdefault(item.cache_key, item) is item
            item.answered_by = "model" if is_first else "memory"
        new: dict[bytes, Asked] = {}
        if firsts:
            answers = self._engine.begin([item.model_text for item in firsts.values()])
            new = {key: Asked(answers, position) for position, key in enumerate(firsts)}
        for item in items:
            item.asked = new.get(item.cache_key) or known[item.cache_key]
        self._ahead.append(new)
