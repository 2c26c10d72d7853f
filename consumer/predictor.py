"""The synchronous way in: texts to the same tags, decision and provenance as the stream's events have."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

from consumer.admission import QueueFullError
from consumer.answer import Answer, Unanswerable
from consumer.micro_batcher import MicroBatcher
from consumer.one_text import of_one_text
from consumer.parts import Cache
from consumer.text_limit import judged_part
from consumer.verdict import Judge
from schemas import AnsweredBy, Prediction

LOOKUP_TEXTS = 16
"""Of one caller, cleaned and looked up at once: 0.5 s of the slowest texts, then it is another caller's turn."""
LOOKUP_THREADS = 8
"""Not asyncio's own, which others use too. Most of what they do is to wait for Redis."""
LOOKUP_RETRY_S = 1.0


class UnanswerableTextError(Exception):
    """The model fails on the text at `index`; `detail` says how, and never quotes it."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(detail)
        self.index = index
        self.detail = detail


class _Found(NamedTuple):
    keys: list[bytes]
    are_cut: list[bool]
    model_texts: dict[bytes, str]
    answers: dict[bytes, tuple[Answer, AnsweredBy]]

    @property
    def missing(self) -> dict[bytes, str]:
        """What the cache had no answer for."""
        return {key: text for key, text in self.model_texts.items() if key not in self.answers}

    def add(self, other: "_Found") -> None:
        """Take what was found of the texts after these."""
        self.keys.extend(other.keys)
        self.are_cut.extend(other.are_cut)
        self.model_texts.update(other.model_texts)
        self.answers.update(other.answers)


class Predictor:
    """Answers HTTP callers: from the cache that the stream uses, else by the model that the stream uses."""

    def __init__(
        self,
        batcher: MicroBatcher,
        cache: Cache,
        cache_key: Callable[[str], bytes],
        judge: Judge,
        labels: set[str],
        languages: Mapping[str, Sequence[str]],
    ) -> None:
        """`labels` are the model's, as "group.label"; `languages` those that it declares, by tag group."""
        self._batcher = batcher
        self._cache = cache
        self._cache_key = cache_key
        self._judge = judge
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")
        self._looked_up_texts = 0
        self.labels = labels
        self.languages = languages

    def close(self) -> None:
        """Look nothing up any more; what is being cleaned ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def predict(self, texts: Sequence[str], timeout_s: float, *, keep: bool = True) -> list[Prediction]:
        """One prediction per text, in order; equal texts are classified once. Without `keep` the cache is asked for
        what it has, but learns nothing new, not even a digest.

        Raises `TimeoutError` after `timeout_s` (what still waits is taken back), `QueueFullError`, `ModelGoneError`,
        or `UnanswerableTextError`.
        """
        async with asyncio.timeout(timeout_s):
            found = await self._look_up_all(texts, timeout_s)
            missing = found.missing
            if missing:
                await self._classify(missing, found, timeout_s, keep=keep)
        processed_at = datetime.now(UTC)
        return [
            self._prediction(*found.answers[key], processed_at, is_cut=is_cut)
            for key, is_cut in zip(found.keys, found.are_cut, strict=True)
        ]

    async def _look_up_all(self, texts: Sequence[str], timeout_s: float) -> _Found:
        """Clean the texts and ask the cache, some at a time; a caller who goes away ends it. Raises `QueueFullError` at
        once where too many texts are in here, and as soon as more of these need the model than may wait for it."""
        if self._looked_up_texts + len(texts) > self._batcher.max_waiting_texts:
            raise QueueFullError(LOOKUP_RETRY_S)
        self._looked_up_texts += len(texts)
        found = _Found([], [], {}, {})
        loop = asyncio.get_running_loop()
        try:
            for start in range(0, len(texts), LOOKUP_TEXTS):
                some = texts[start : start + LOOKUP_TEXTS]
                found.add(await loop.run_in_executor(self._threads, self._look_up, some, start))
                if found.missing:
                    self._batcher.check_room(len(found.missing), timeout_s)
        finally:
            self._looked_up_texts -= len(texts)
        return found

    def _look_up(self, texts: Sequence[str], first_index: int) -> _Found:
        """Raises `UnanswerableTextError` for a text that cleaning fails on."""
        keys, are_cut, model_texts = [], [], {}
        for index, text in enumerate(texts, first_index):
            judged, is_cut = judged_part(text)
            ready = of_one_text(self._model_text_and_key, judged, named="cleaning")
            if isinstance(ready, Unanswerable):
                raise UnanswerableTextError(index, ready.detail)
            model_text, key = ready
            keys.append(key)
            are_cut.append(is_cut)
            model_texts[key] = model_text
        return _Found(keys, are_cut, model_texts, dict(self._cache.lookup(model_texts)))

    def _model_text_and_key(self, text: str) -> tuple[str, bytes]:
        model_text = self._batcher.model_text(text)
        return model_text, self._cache_key(model_text)

    async def _classify(self, missing: dict[bytes, str], found: _Found, timeout_s: float, *, keep: bool) -> None:
        """Add the model's answers to `found`, and to the cache if it may `keep` them."""
        pending = self._batcher.submit(list(missing.values()), timeout_s)
        answers = await asyncio.gather(*map(asyncio.wrap_future, pending))  # cancelled, it takes all of them back
        by_key = dict(zip(missing, answers, strict=True))
        good = {key: answer for key, answer in by_key.items() if isinstance(answer, Answer)}
        found.answers.update((key, (answer, "model")) for key, answer in good.items())
        if keep:
            self._cache.store(good)
        for key, answer in by_key.items():
            if isinstance(answer, Unanswerable):
                raise UnanswerableTextError(found.keys.index(key), answer.detail)

    def _prediction(
        self, answer: Answer, answered_by: AnsweredBy, processed_at: datetime, *, is_cut: bool
    ) -> Prediction:
        if is_cut:
            answer = answer._replace(truncated=True)
        return Prediction.model_validate(
            self._judge.fields(answer, self._judge.verdict(answer))
            | {"answered_by": answered_by, "processed_at": processed_at}
        )
