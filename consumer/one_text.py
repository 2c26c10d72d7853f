"""The wall around one text: whatever a step does with it ends there, and not with the batch or the process."""

from collections.abc import Callable
from typing import TypeVar

from consumer.answer import Unanswerable

Given = TypeVar("Given")
Result = TypeVar("Result")


def of_one_text(step: Callable[[Given], Result], text: Given, *, named: str) -> Result | Unanswerable:
    """Return `step(text)`, or that the text is Unanswerable where the step fails on it; `named` is the step's noun, and
    `text` may be a record that holds one.

    The detail gives the exception's type alone: its message may quote the text. Raises what is no text's fault.
    """
    try:
        return step(text)
    except BaseException as error:
        if not is_a_texts_fault(error):
            raise
        return Unanswerable(f"{named} failed on it: {type(error).__name__}")


def is_a_texts_fault(error: BaseException) -> bool:
    """Whether a step that raised `error` failed on its text: any Exception but a lack of memory, or a panic in Rust.

    Where Rust code panics, pyo3 raises a BaseException that is no Exception. Each extension module has a class of its
    own for it and exports none, so the class is known by its module. What else is no Exception ends a thread, a task or
    the process, and passes.
    """
    if isinstance(error, Exception):
        return not isinstance(error, MemoryError)
    return type(error).__module__ == "pyo3_runtime"
