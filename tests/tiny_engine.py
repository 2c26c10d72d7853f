"""An engine on a tiny model, and what tests ask of it."""

from collections.abc import Callable
from pathlib import Path

from consumer.answer import Answer, ModelPass
from consumer.model import Engine, load_engine


def tiny_engine(directory: Path, on_pass: Callable[[ModelPass], None] = lambda _: None) -> Engine:
    """The model in `directory` in fp32 with a budget of 64 tokens, so that a few texts take several passes."""
    return load_engine(str(directory), device="cpu", dtype="float32", max_batch_tokens=64, on_pass=on_pass)


def answers(engine: Engine, texts: list[str]) -> list[Answer]:
    """Those of all texts that have one."""
    found = engine.classify([engine.model_text(text) for text in texts])
    return [answer for answer in found if isinstance(answer, Answer)]


def letter_z(engine: Engine) -> int:
    """The token of a text that a test lets fail."""
    token = engine.tokenizer.token_to_id("z")
    assert token is not None
    return token
