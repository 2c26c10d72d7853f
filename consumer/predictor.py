"""The synchronous way in: texts to the same tags, decision and provenance as the stream's events have."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from consumer.answer import Answer, Unanswerable
from consumer.micro_batcher import MicroBatcher
from consumer.parts import Cache
from consumer.verdict import Judge
from schemas import AnsweredBy, Prediction


class UnanswerableTextError(Exception):
    """The model fails on the text at `index`; `detail` says how, and never quotes it."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(detail)
        self.index = index
        self.detail = detail


class _Found(NamedTuple):
    keys: list[bytes]
    model_texts: dict[bytes, str]
    answers: dict[bytes, tuple[Answer, AnsweredBy]]


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
        self.labels = labels
        self.languages = languages

    async def predict(self, texts: Sequence[str], timeout_s: float, *, keep: bool = True) -> list[Prediction]:
        """One prediction per text, in order; equal texts are classified once. Without `keep` the cache is asked for
        what it has, but learns nothing new, not even a digest.

        Raises `TimeoutError` after `timeout_s` (what still waits is taken back), `QueueFullError`, `ModelGoneError`,
        or `UnanswerableTextError`.
        """
        async with asyncio.timeout(timeout_s):
            found = await asyncio.to_thread(self._look_up, texts)  # Redis may take its timeout
            missing = {key: text for key, text in found.model_texts.items() if key not in found.answers}
            if missing:
                await self._classify(missing, found, timeout_s, keep=keep)
        processed_at = datetime.now(UTC)
        return [self._prediction(*found.answers[key], processed_at) for key in found.keys]

    def _look_up(self, texts: Sequence[str]) -> _Found:
        model_texts = [self._batcher.model_text(text) for text in texts]
        keys = [self._cache_key(text) for text in model_texts]
        by_key = dict(zip(keys, model_texts, strict=True))
        return _Found(keys, by_key, dict(self._cache.lookup(by_key)))

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

    def _prediction(self, answer: Answer, answered_by: AnsweredBy, processed_at: datetime) -> Prediction:
        return Prediction.model_validate(
            self._judge.fields(answer, self._judge.verdict(answer))
            | {"answered_by": answered_by, "processed_at": processed_at}
        )
