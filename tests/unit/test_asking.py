"""Each text is asked for once, however many comments in flight have it."""

from collections.abc import Sequence
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.answer import Answer, Unanswerable
from consumer.asking import BATCHES_AHEAD, Asking
from consumer.batch import Item, Lease
from consumer.model.errors import ModelError
from tests.fakes import record

Answers = list[Answer | Unanswerable]


class SlowEngine:
    """Keeps what it is asked, and answers when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], Future[Answers]]] = []

    def model_text(self, text: str) -> str:
        return text

    def begin(self, model_texts: Sequence[str]) -> "Future[Answers]":
        self.asked.append((list(model_texts), Future()))
        return self.asked[-1][1]

    def answer(self) -> None:
        for texts, future in self.asked:
            if not future.done():
                future.set_result([answer_to(text) for text in texts])


def answer_to(text: str) -> Answer:
    return Answer((float(ord(text[0])),), truncated=False)


def items(*texts: str) -> list[Item]:
    return [Item(record(b""), Lease("comments", 0), model_text=text, cache_key=text.encode()) for text in texts]


def answer_of(item: Item) -> Answer | Unanswerable:
    assert item.asked is not None
    return item.asked.answers.result(0)[item.asked.position]


def test_equal_texts_of_a_batch_are_asked_for_once_and_all_but_the_first_are_repeats() -> None:
    engine = SlowEngine()
    batch = items("a", "b", "a", "a")
    Asking(engine).ask(batch)
    engine.answer()
    assert [texts for texts, _ in engine.asked] == [["a", "b"]]
    assert [item.answered_by for item in batch] == ["model", "model", "memory", "memory"]
    assert [answer_of(item) for item in batch] == [answer_to(item.model_text) for item in batch]


def test_a_text_that_is_with_the_model_already_is_not_asked_for_again() -> None:
    engine = SlowEngine()
    asking = Asking(engine)
    first, second = items("a"), items("b", "a")
    asking.ask(first)
    asking.ask(second)
    assert [texts for texts, _ in engine.asked] == [["a"], ["b"]]
    assert [item.answered_by for item in second] == ["model", "memory"]
    engine.answer()
    assert answer_of(second[1]) is answer_of(first[0])


def test_a_batch_that_needs_nothing_of_the_model_asks_nothing() -> None:
    engine = SlowEngine()
    asking = Asking(engine)
    for batch in ((), ("a",), ("a", "a")):
        asking.ask(items(*batch))
    assert [texts for texts, _ in engine.asked] == [["a"]]


def test_what_must_be_in_the_cache_by_now_is_forgotten() -> None:
    engine = SlowEngine()
    asking = Asking(engine)
    for _ in range(BATCHES_AHEAD + 2):
        asking.ask(items("a"))
    assert len(engine.asked) == 2


def test_what_broke_the_model_is_raised_where_the_answer_is_waited_for() -> None:
    engine = SlowEngine()
    (item,) = items("a")
    Asking(engine).ask([item])
    engine.asked[0][1].set_exception(ModelError("the model is gone"))
    with pytest.raises(ModelError, match="the model is gone"):
        answer_of(item)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=12))
def test_whatever_comes_every_item_gets_the_answer_to_its_own_text(batches: list[list[str]]) -> None:
    engine = SlowEngine()
    asking = Asking(engine)
    asked = [items(*texts) for texts in batches]
    for batch in asked:
        asking.ask(batch)
    engine.answer()
    for item in (item for batch in asked for item in batch):
        assert answer_of(item) == answer_to(item.model_text)
    firsts = sum(item.answered_by == "model" for batch in asked for item in batch)
    assert firsts == sum(len(texts) for texts, _ in engine.asked)
