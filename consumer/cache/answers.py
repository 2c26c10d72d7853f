"""The cache as the pipeline sees it."""

from collections.abc import Iterable, Mapping
from typing import Literal

from consumer.answer import Answer
from consumer.cache.codec import AnswerCodec
from consumer.cache.memory import MemoryCache
from consumer.cache.shared import SharedCache, SharedState


class AnswerCache:
    """Memory in front of the shared cache, or memory alone where `shared` is None.

    Thread-safe; never raises for anything Redis does, nor delays a batch beyond the shared cache's timeout.
    """

    def __init__(self, memory_entries: int, codec: AnswerCodec, shared: SharedCache | None) -> None:
        self._memory = MemoryCache(memory_entries)
        self._codec = codec
        self._shared = shared

    @property
    def state(self) -> SharedState | Literal["memory-only"]:
        """For health: how the shared cache is."""
        return self._shared.state if self._shared else "memory-only"

    def lookup(self, keys: Iterable[bytes]) -> dict[bytes, tuple[Answer, Literal["memory", "redis"]]]:
        """Look in memory, then in Redis for what memory lacks; memory keeps what Redis had."""
        wanted = dict.fromkeys(keys)
        remembered = self._memory.get_many(wanted)
        found: dict[bytes, tuple[Answer, Literal["memory", "redis"]]] = {
            key: (answer, "memory") for key, answer in remembered.items()
        }
        shared = self._in_redis([key for key in wanted if key not in remembered])
        self._memory.put_many(shared)
        found.update((key, (answer, "redis")) for key, answer in shared.items())
        return found

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        """Keep answers: in memory now, in Redis soon if that goes well; returns at once."""
        self._memory.put_many(answers)
        if self._shared:
            self._shared.put_many({key: self._codec.encode(key, answer) for key, answer in answers.items()})

    def close(self) -> None:
        """Give pending writes a moment."""
        if self._shared:
            self._shared.close()

    def _in_redis(self, keys: list[bytes]) -> dict[bytes, Answer]:
        if not self._shared:
            return {}
        values = self._shared.get_many(keys)
        decoded = ((key, self._codec.decode(key, value)) for key, value in values.items())
        return {key: answer for key, answer in decoded if answer is not None}
