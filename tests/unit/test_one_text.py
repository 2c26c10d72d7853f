"""One text may make a step fail; it may not end the batch, and nothing else may be mistaken for its fault."""

import asyncio

import pytest
from tokenizers.pre_tokenizers import FixedLength

from consumer.answer import Unanswerable
from consumer.one_text import of_one_text

SECRET = "what somebody wrote"


def test_a_step_that_works_gives_its_result() -> None:
    assert of_one_text(str.upper, "a", named="shouting") == "A"


@pytest.mark.parametrize("kind", [ValueError, RecursionError, AssertionError, StopIteration, OSError, SyntaxError])
def test_a_step_that_raises_makes_the_text_unanswerable_and_tells_only_the_exceptions_type(
    kind: type[Exception],
) -> None:
    def step(text: str) -> str:
        raise kind(text)

    assert of_one_text(step, SECRET, named="cleaning") == Unanswerable(f"cleaning failed on it: {kind.__name__}")


def test_a_step_that_panics_in_rust_makes_the_text_unanswerable() -> None:
    panicking = FixedLength(length=0)  # "chunk size must be non-zero"
    answer = of_one_text(panicking.pre_tokenize_str, SECRET, named="the tokenizer")
    assert answer == Unanswerable("the tokenizer failed on it: PanicException")


@pytest.mark.parametrize(
    "kind", [MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, BaseException]
)
def test_what_is_no_texts_fault_passes(kind: type[BaseException]) -> None:
    def step(text: str) -> str:
        raise kind

    with pytest.raises(kind):
        of_one_text(step, SECRET, named="cleaning")
