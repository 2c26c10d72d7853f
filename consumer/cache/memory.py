"""The answers of this process."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock

from consumer.answer import Answer


class MemoryCache:
    """The `max_entries` answers used most recently; thread-safe, one short lock per batch."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._lock = Lock()
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Answer]:
        """What is known of `keys`; a key that was asked for is kept longer."""
        found = {}
        with self._lock:
            for key in keys:
                answer = self._answers.get(key)
                if answer is not None:
                    self._answers.move_to_end(key)
                    found[key] = answer
        return found

    def put_many(self, answers: Mapping[bytes, Answer]) -> None:
        """Keep `answers`, and let go of those unused for longest."""
        with self._lock:
            for key, answer in answers.items():
                self._answers[key] = answer
                self._answers.move_to_end(key)
                if len(self._answers) > self._max_entries:
                    self._answers.popitem(last=False)
