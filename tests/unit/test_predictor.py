"""The synchronous way in, with the real micro-batcher and cache around a model that can be steered."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from consumer.admission import QueueFullError
from consumer.answer import Answer, Unanswerable
from consumer.batch import Decoded, Item, Lease, Record
from consumer.cache import AnswerCache, AnswerCodec, key_function
from consumer.cache.shared import SharedCache
from consumer.decode import decode
from consumer.jobs import ModelGoneError
from consumer.micro_batcher import MicroBatcher
from consumer.outputs import Outputs, now_rfc3339
from consumer.policy import Policy
from consumer.predictor import Predictor, UnanswerableTextError
from consumer.verdict import Judge
from schemas import MAX_TEXT_CHARACTERS, ModelInfo, Prediction
from tests.fakes import TAG_GROUPS, WordEngine

LONG_S = 60.0
JUDGE = Judge(tags_of=TAG_GROUPS.tags, model=ModelInfo(name="words", version="1"), policy=Policy())
CODEC = AnswerCodec(TAG_GROUPS.score_count, secret="", competing=TAG_GROUPS.competing)


class NotedEngine(WordEngine):
    """Says when it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        self.begun.set()
        return super().classify(model_texts)


class Desk:
    """A predictor, and what is behind it."""

    def __init__(self, shared: SharedCache | None, max_waiting_texts: int) -> None:
        self.engine = NotedEngine()
        self.cache = AnswerCache(1_000, CODEC, shared)
        self.batcher = MicroBatcher(self.engine, max_waiting_texts)
        self.key = key_function(self.engine.fingerprint, "")
        self.predictor = Predictor(self.batcher, self.cache, self.key, JUDGE, {"toxicity.toxic"}, {})

    def predict(
        self, *texts: str, timeout_s: float = LONG_S, keep: bool = True
    ) -> Coroutine[Any, Any, list[Prediction]]:
        return self.predictor.predict(texts, timeout_s, keep=keep)

    async def occupied(self) -> "asyncio.Task[list[Prediction]]":
        """The model stands still in the middle of a text, until its gate is opened."""
        self.engine.gate.clear()
        task = asyncio.create_task(self.predict("occupied"))
        await until(self.engine.begun.is_set)
        return task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.002)


@contextmanager
def desk(shared: SharedCache | None = None, max_waiting_texts: int = 1_024) -> Iterator[Desk]:
    opened = Desk(shared, max_waiting_texts)
    try:
        yield opened
    finally:
        opened.engine.gate.set()
        opened.batcher.close(timeout_s=LONG_S)
        opened.cache.close()


def test_a_prediction_is_what_the_stream_would_have_published() -> None:
    with desk() as here:
        (prediction,) = asyncio.run(here.predict("You are awful"))
        (answer,) = here.batcher.begin(["you are awful"]).result(20)
    assert isinstance(answer, Answer)
    value = json.dumps({"id": "a", "text": "You are awful"}).encode()
    comment = decode(value)
    assert isinstance(comment, Decoded)
    record = Record("comments", 0, 0, None, None, value, ())
    item = Item(record, Lease("comments", 0), comment=comment, answer=answer)
    outputs = Outputs(results_topic="results", dead_letter_topic="dead", include_text=True, judge=JUDGE)
    event = json.loads(outputs.message(item, now_rfc3339()).value or b"")
    published = Prediction.model_validate_json(json.dumps({name: event[name] for name in Prediction.model_fields}))
    same = {"tags", "decision", "truncated", "model", "policy", "answered_by"}
    assert prediction.model_dump(include=same) == published.model_dump(include=same)
    assert prediction.tags["toxicity"].label == "toxic"


def test_predictions_come_in_the_order_of_the_texts_and_equal_texts_are_classified_once() -> None:
    with desk() as here:
        found = asyncio.run(here.predict("spam", "you are awful", "SPAM ", "spam"))
    assert [prediction.tags["toxicity"].label for prediction in found] == ["clean", "toxic", "clean", "clean"]
    assert here.engine.classified == ["spam", "you are awful"]


def test_a_text_seen_before_is_answered_from_the_cache_that_the_stream_uses() -> None:
    with desk() as here:
        here.cache.store({here.key("from the stream"): Answer((0.2, 0.3, 0.5, 0.9), truncated=False)})
        first = asyncio.run(here.predict("new", "From  the stream"))
        second = asyncio.run(here.predict("new"))
        assert here.cache.lookup([here.key("new")])
    assert [prediction.answered_by for prediction in [*first, *second]] == ["model", "memory", "memory"]
    assert here.engine.classified == ["new"]


def test_what_is_not_to_be_kept_is_not_kept() -> None:
    with desk() as here:
        asyncio.run(here.predict("private", keep=False))
        assert not here.cache.lookup([here.key("private")])


def test_a_timeout_takes_the_texts_back() -> None:
    async def scenario(here: Desk) -> None:
        occupied = await here.occupied()
        with pytest.raises(TimeoutError):
            await here.predict("late", "late too", timeout_s=0.05)
        after = asyncio.create_task(here.predict("after"))
        await until(lambda: here.batcher.waiting_texts == 3)  # they are skipped at their turn
        here.engine.gate.set()
        await asyncio.gather(occupied, after)
        assert here.engine.classified == ["occupied", "after"]

    with desk() as here:
        asyncio.run(scenario(here))


def test_a_caller_who_goes_away_takes_his_texts_with_him() -> None:
    async def scenario(here: Desk) -> None:
        occupied = await here.occupied()
        gone = asyncio.create_task(here.predict("gone"))
        await until(lambda: here.batcher.waiting_texts == 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        here.engine.gate.set()
        await occupied
        await here.predict("after")
        assert here.engine.classified == ["occupied", "after"]

    with desk() as here:
        asyncio.run(scenario(here))


def test_a_full_queue_refuses_all_of_a_caller_s_texts() -> None:
    async def scenario(here: Desk) -> None:
        occupied = await here.occupied()
        waiting = asyncio.create_task(here.predict("a", "b", "c"))
        await until(lambda: here.batcher.waiting_texts == 3)
        with pytest.raises(QueueFullError):
            await here.predict("d", "e")
        here.engine.gate.set()
        await asyncio.gather(occupied, waiting)

    with desk(max_waiting_texts=4) as here:
        asyncio.run(scenario(here))
    assert sorted(here.engine.classified) == ["a", "b", "c", "occupied"]


def test_the_event_loop_runs_on_while_the_model_works() -> None:
    async def scenario(here: Desk) -> None:
        waiting = [asyncio.create_task(here.predict(f"text {n}")) for n in range(50)]
        here.engine.gate.clear()
        for _ in range(20):
            await asyncio.sleep(0.001)  # would never come back if anything blocked it
        here.engine.gate.set()
        assert len(await asyncio.gather(*waiting)) == 50

    with desk() as here:
        asyncio.run(scenario(here))


def test_a_model_that_breaks_ends_every_call_and_every_later_one() -> None:
    async def scenario(here: Desk) -> None:
        occupied = await here.occupied()
        waiting = asyncio.create_task(here.predict("waiting"))
        await until(lambda: here.batcher.waiting_texts == 1)
        here.engine.broken = True
        here.engine.gate.set()
        outcomes = await asyncio.gather(occupied, waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ModelGoneError, ModelGoneError]
        with pytest.raises(ModelGoneError):
            await here.predict("later")

    with desk() as here:
        asyncio.run(scenario(here))


def test_a_text_that_the_model_fails_on_is_named_by_its_place_and_the_others_answers_are_kept() -> None:
    with desk() as here:
        with pytest.raises(UnanswerableTextError) as raised:
            asyncio.run(here.predict("fine", "fine", "poison", "good"))
        assert raised.value.index == 2
        assert "poison" not in str(raised.value)
        again = asyncio.run(here.predict("fine", "good"))
    assert [prediction.answered_by for prediction in again] == ["memory", "memory"]


class HangingStore:
    """A Redis that never answers."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def read(self, _keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self.gate.wait(LONG_S)
        return {}

    def write(self, _values: Mapping[bytes, bytes]) -> None:
        self.gate.wait(LONG_S)

    def close(self) -> None:
        self.gate.set()


def test_a_redis_that_hangs_stops_no_caller_however_many_there_are() -> None:
    async def scenario(here: Desk) -> None:
        found = await asyncio.gather(*(here.predict(f"text {n}") for n in range(100)))
        assert {prediction.answered_by for (prediction,) in found} == {"model"}

    store = HangingStore()
    with desk(SharedCache(store, timeout_s=0.05)) as here:
        asyncio.run(scenario(here))
        assert here.cache.state == "open"
        store.gate.set()


@pytest.mark.parametrize("place", [0, 17, 40])
def test_a_text_that_cleaning_fails_on_is_told_by_its_place_and_no_other_caller_meets_it(
    monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    whole_step = WordEngine.model_text

    def fails_on_a_pill(engine: WordEngine, text: str) -> str:
        if text == "pill":
            raise ValueError("pill")
        return whole_step(engine, text)

    monkeypatch.setattr(WordEngine, "model_text", fails_on_a_pill)
    texts = [f"text {number}" for number in range(41)]
    texts[place] = "pill"
    with desk() as here:
        with pytest.raises(UnanswerableTextError, match=r"^cleaning failed on it: ValueError$") as raised:
            asyncio.run(here.predict(*texts))
        assert raised.value.index == place
        assert asyncio.run(here.predict("another caller's"))


def test_a_text_that_was_cut_is_told_and_its_answer_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.LONGEST_SEEN", 10**6)
    with desk() as here:
        text = "ab " * MAX_TEXT_CHARACTERS
        longer, beginning = asyncio.run(here.predict(text, text[:MAX_TEXT_CHARACTERS]))
        assert longer.tags == beginning.tags
        assert (longer.truncated, beginning.truncated) == (True, False)
