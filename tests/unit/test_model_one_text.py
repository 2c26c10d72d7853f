"""One text that makes a step of the engine fail, whichever, is Unanswerable; the batch it came in is answered."""

from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import FixedLength

from consumer.answer import Answer, Unanswerable
from consumer.model import Engine
from consumer.model import engine as engine_module
from consumer.model.doubt import with_language
from consumer.model.encoding import Encoded, encode
from tests.tiny_engine import tiny_engine
from tests.tiny_models import save_classifier

POISON = "☠"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return tiny_engine(save_classifier(tmp_path))


def panicking_on_poison(tokenizer: Tokenizer) -> Tokenizer:
    """Its normaliser makes nothing of any other text, and its pre-tokenizer's Rust code panics on what is left."""
    tokenizer.normalizer = Replace(Regex(f"^[^{POISON}]*$"), "")
    tokenizer.pre_tokenizer = FixedLength(length=0)
    return tokenizer


def test_a_text_that_makes_the_tokenizer_panic_is_unanswerable_alone(engine: Engine) -> None:
    found = encode(panicking_on_poison(engine.tokenizer), ["a", f"so {POISON}", "b"], pad_id=0)
    assert isinstance(found[0], Encoded)
    assert found[1] == Unanswerable("the tokenizer failed on it: PanicException")
    assert isinstance(found[2], Encoded)


def test_the_batch_of_a_text_that_makes_the_tokenizer_panic_is_answered(engine: Engine) -> None:
    panicking_on_poison(engine.tokenizer)
    found = engine.classify(["a", POISON, "b", POISON])
    assert [type(answer) for answer in found] == [Answer, Unanswerable, Answer, Unanswerable]


@pytest.mark.parametrize("kind", [ValueError, RecursionError])
def test_a_text_that_makes_the_language_score_fail_is_unanswerable_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def doubted(text: str, answer: Answer, groups: object) -> Answer:
        if text == POISON:
            raise kind(text)
        return answer

    monkeypatch.setattr(engine_module, "doubted", doubted)
    monkeypatch.setattr(engine, "tag_groups", with_language(engine.tag_groups))
    found = engine.classify(["a", POISON, "b"])
    assert [type(answer) for answer in found] == [Answer, Unanswerable, Answer]
    assert found[1] == Unanswerable(f"the language score failed on it: {kind.__name__}")


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt, SystemExit])
def test_what_is_no_texts_fault_ends_the_batch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def doubted(text: str, answer: Answer, groups: object) -> Answer:
        raise kind

    monkeypatch.setattr(engine_module, "doubted", doubted)
    monkeypatch.setattr(engine, "tag_groups", with_language(engine.tag_groups))
    with pytest.raises(kind):
        engine.classify(["a"])
