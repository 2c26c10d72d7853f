"""Texts are let in before they are cleaned, and cleaned so that no caller has to wait for another one's."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from consumer import predictor as predicting
from consumer.admission import QueueFullError
from consumer.answer import Answer
from schemas import Prediction
from tests.unit.test_predictor import Desk, desk, until

SLOW = "slow"
OTHERS = 40
"""More than asyncio's own executor has threads."""


class Cleaner:
    """Stands still at each slow text until it is let go, and knows what it has cleaned."""

    def __init__(self, here: Desk) -> None:
        self.cleaned: list[str] = []
        self.gate = threading.Event()
        self._real = here.engine.model_text
        here.engine.model_text = self.model_text  # type: ignore[method-assign]

    def model_text(self, text: str) -> str:
        if text.startswith(SLOW):
            self.gate.wait(60)
        self.cleaned.append(text)
        return self._real(text)


def run(scenario: Callable[[Desk, Cleaner], Coroutine[Any, Any, None]], max_waiting_texts: int = 1_024) -> None:
    with desk(max_waiting_texts=max_waiting_texts) as here:
        cleaner = Cleaner(here)
        try:
            asyncio.run(scenario(here, cleaner))
        finally:
            cleaner.gate.set()


def know(here: Desk, *texts: str) -> None:
    here.cache.store({here.key(text): Answer((0.2, 0.3, 0.5, 0.0), truncated=False) for text in texts})


def asked(here: Desk, *texts: str) -> "asyncio.Task[list[Prediction]]":
    return asyncio.create_task(here.predict(*texts))


def test_texts_beyond_the_limit_are_refused_at_once_and_not_cleaned() -> None:
    async def scenario(here: Desk, cleaner: Cleaner) -> None:
        slow = asked(here, *(f"{SLOW} {n}" for n in range(20)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError) as refused:
            await here.predict("one", "two", "three", "four", "five", "six")
        assert refused.value.retry_after_s >= 1
        assert cleaner.cleaned == []
        cleaner.gate.set()
        assert len(await slow) == 20
        assert len(await here.predict("one", "two", "three", "four", "five", "six")) == 6

    run(scenario, max_waiting_texts=25)


def test_a_caller_of_many_slow_texts_keeps_no_other_from_being_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of them made the cached texts of others time out."""
    monkeypatch.setattr(predicting, "LOOKUP_TEXTS", 1)

    async def scenario(here: Desk, cleaner: Cleaner) -> None:
        know(here, "known")
        slow = [asked(here, *(f"{SLOW} {caller} {n}" for n in range(20))) for caller in range(OTHERS)]
        await asyncio.sleep(0)
        quick = asked(here, "known")
        await asyncio.sleep(0)
        cleaner.gate.set()
        await quick
        # Each of the others has had one turn before it, not twenty; and some another while the answer came.
        assert cleaner.cleaned.index("known") < OTHERS + 5 * predicting.LOOKUP_THREADS
        await asyncio.gather(*slow)

    run(scenario)


@pytest.mark.parametrize("goes", ["away", "late"])
def test_the_texts_of_a_caller_who_waits_no_more_are_not_cleaned(goes: str) -> None:
    async def scenario(here: Desk, cleaner: Cleaner) -> None:
        texts = [f"{SLOW} {n}" for n in range(256)]
        if goes == "away":
            caller = asked(here, *texts)
            await asyncio.sleep(0.05)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
        else:
            with pytest.raises(TimeoutError):
                await here.predict(*texts, timeout_s=0.05)
        cleaner.gate.set()
        await here.predict("after")
        await until(lambda: len(cleaner.cleaned) >= predicting.LOOKUP_TEXTS + 1)
        assert len(cleaner.cleaned) <= predicting.LOOKUP_TEXTS + 1
        assert len(await here.predict(*(f"after {n}" for n in range(255)))) == 255, "his room is free again"

    run(scenario, max_waiting_texts=256)


def test_what_the_cache_knows_is_answered_while_the_model_s_queue_is_full() -> None:
    async def scenario(here: Desk, _cleaner: Cleaner) -> None:
        know(here, "known", "known too")
        occupied = await here.occupied()
        waiting = asked(here, "a", "b", "c", "d")
        await until(lambda: here.batcher.waiting_texts == 4)
        assert [one.answered_by for one in await here.predict("known", "known too")] == ["memory", "memory"]
        with pytest.raises(QueueFullError):
            await here.predict("known", "new")
        here.engine.gate.set()
        await asyncio.gather(occupied, waiting)

    run(scenario, max_waiting_texts=4)


def test_texts_that_the_model_has_no_room_for_are_not_cleaned_to_the_end() -> None:
    async def scenario(here: Desk, cleaner: Cleaner) -> None:
        occupied = await here.occupied()
        waiting = asked(here, *(f"a {n}" for n in range(256)))
        await until(lambda: here.batcher.waiting_texts == 256)
        cleaner.cleaned.clear()
        with pytest.raises(QueueFullError):
            await here.predict(*(f"b {n}" for n in range(256)))
        assert len(cleaner.cleaned) == predicting.LOOKUP_TEXTS
        here.engine.gate.set()
        await asyncio.gather(occupied, waiting)

    run(scenario, max_waiting_texts=256)
