"""Texts on their way through the model, and who is owed their answers."""

from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, Protocol

from consumer.answer import Answer, Unanswerable
from consumer.errors import ReaderError

Answers = list[Answer | Unanswerable]


class SteppedEngine(Protocol):
    """An engine that lets others in between two forward passes."""

    def model_text(self, text: str) -> str:
        """The text as the model sees it; from any thread."""
        ...

    def steps(self, model_texts: Sequence[str]) -> Generator[bool, None, Answers]:
        """Classify, stopping before each forward pass is waited for; yields whether others may begin beside the last of
        them. Raises when the model itself is broken."""
        ...


class ModelGoneError(ReaderError):
    """The model failed on ordinary texts, or is being let go: nothing is classified any more."""


class Waiting(NamedTuple):
    """A text of an HTTP caller, and what its answer is put into."""

    text: str
    answer: "Future[Answer | Unanswerable]"


class Bulk(NamedTuple):
    """Texts of a batch of the stream, and what their answers are put into."""

    texts: Sequence[str]
    answers: "Future[Answers]"


class Job:
    """Texts that are being classified, as far as they have come."""

    def __init__(self, passes: Generator[bool, None, None]) -> None:
        self.others_may_begin = False
        self.done = False
        self._passes = passes
        self.step()

    def step(self) -> None:
        """Begin passes; from the second time on, wait for one before."""
        try:
            self.others_may_begin = next(self._passes)
        except StopIteration:
            self.done = True

    def fail(self, error: BaseException) -> None:
        """Tell those who wait for its answers."""
        with suppress(BaseException):
            self._passes.throw(error)


def texts_of(bulks: Sequence[Bulk]) -> list[str]:
    """All of their texts, in order."""
    return [text for bulk in bulks for text in bulk.texts]


def answer_stream(engine: SteppedEngine, taken: Sequence[Bulk]) -> Generator[bool, None, None]:
    """Answer batches of the stream together, or say why not. Steps as the engine does, and raises what it does."""
    texts = texts_of(taken)
    try:
        found = yield from engine.steps(texts)
        if len(found) != len(texts):
            raise RuntimeError(f"{len(found)} answers to {len(texts)} texts")
    except BaseException as error:
        for bulk in taken:
            bulk.answers.set_exception(error)
        raise
    left = iter(found)
    for bulk in taken:
        bulk.answers.set_result(list(islice(left, len(bulk.texts))))


def answer_callers(engine: SteppedEngine, taken: Sequence[Waiting]) -> Generator[bool, None, None]:
    """Answer callers' texts together; why the model failed is the stream's to say. Steps as the engine does, and raises
    what it does."""
    try:
        found = yield from engine.steps([entry.text for entry in taken])
    except BaseException:
        for entry in taken:
            entry.answer.set_exception(ModelGoneError("the model failed"))
        raise
    for entry, answer in zip(taken, found, strict=True):
        entry.answer.set_result(answer)
