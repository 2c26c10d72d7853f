import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from consumer.answer import Answer, ModelPass, Unanswerable
from consumer.model import Engine, ModelError, load_engine
from consumer.model.packing import Widths
from consumer.model.rows import OneTextARow
from tests.pass_engine import interleaved
from tests.tiny_engine import answers, letter_z, tiny_engine
from tests.tiny_models import MAX_TOKENS, save_classifier


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture
def engine(directory: Path) -> Engine:
    return tiny_engine(directory)


def spy_on_forward(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, behave: Callable[[torch.Tensor, Any], Any]
) -> list[int]:
    """Let `behave(input_ids, logits)` see and change every forward pass; return the list of their sizes in texts. Rows
    hold one text each, as those of a model that cannot share them."""
    sizes: list[int] = []

    class Spy(OneTextARow):
        def forward(self, input_ids: torch.Tensor, text_numbers: torch.Tensor, *places: torch.Tensor) -> Any:
            sizes.append(len(input_ids))
            return behave(input_ids, super().forward(input_ids, text_numbers, *places))

    monkeypatch.setattr(engine._passes, "runner", Spy(engine.network))
    return sizes


def fail_on_z(engine: Engine) -> Callable[[torch.Tensor, Any], Any]:
    z = letter_z(engine)

    def behave(input_ids: torch.Tensor, logits: Any) -> Any:
        if bool(torch.eq(input_ids, z).any()):
            raise RuntimeError("the text was: z")
        return logits

    return behave


def test_answers_come_in_the_order_of_the_texts(engine: Engine) -> None:
    texts = ["a", "a long one", "b b", "a much longer one than that", "c"]
    together = answers(engine, texts)
    for text, answer in zip(texts, together, strict=True):
        alone = answers(engine, [text])[0]
        assert answer.scores == pytest.approx(alone.scores, abs=1e-4)
    assert len({answer.scores for answer in together}) == len(texts)


def test_equal_texts_run_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = spy_on_forward(engine, monkeypatch, lambda _, logits: logits)
    found = engine.classify(["a", "b", "a", "a"])
    assert sum(sizes) == 2
    assert found[0] == found[2] == found[3] != found[1]


def test_no_texts_get_no_answers(engine: Engine) -> None:
    assert engine.classify([]) == []


def test_micro_batches_stay_within_the_token_budget(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    padded: list[int] = []

    def behave(input_ids: torch.Tensor, logits: Any) -> Any:
        padded.append(input_ids.numel())
        return logits

    spy_on_forward(engine, monkeypatch, behave)
    answers(engine, [f"{'a ' * (n % 9)}{n}" for n in range(60)])
    assert max(padded) <= 64


def test_every_score_is_in_0_to_1_and_a_softmax_group_sums_to_1(engine: Engine) -> None:
    for answer in answers(engine, ["hello", "", "!!!", "zq"]):
        assert len(answer.scores) == 4
        assert all(0.0 <= score <= 1.0 for score in answer.scores)
        assert sum(answer.scores[:3]) == pytest.approx(1.0)


def test_a_text_longer_than_the_model_is_truncated_and_says_so(engine: Engine) -> None:
    fits, longer = answers(engine, ["a 1 " * (MAX_TOKENS // 2 - 1), "a 1 " * (MAX_TOKENS // 2)])
    assert (fits.truncated, longer.truncated) == (False, True)
    assert longer.scores == pytest.approx(fits.scores, abs=1e-4)


def test_texts_that_differ_only_in_what_the_model_ignores_have_one_model_text(engine: Engine) -> None:
    assert engine.model_text("Café  OK") == engine.model_text("cafe ok") == "cafe ok"


def test_a_special_token_written_in_a_comment_is_text(engine: Engine) -> None:
    plain, spelled = answers(engine, ["a b", "a [SEP] b"])
    assert plain.scores != spelled.scores
    assert engine.tokenizer.encode("a [SEP] b").ids.count(3) == 1


def test_a_text_that_makes_the_model_fail_is_found_and_leaves_the_others_unharmed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a", "b", "z", "c", "d", "e", "z z"]
    spy_on_forward(engine, monkeypatch, fail_on_z(engine))
    found = engine.classify(texts)
    assert [isinstance(answer, Unanswerable) for answer in found] == ["z" in text for text in texts]
    assert found[2] == Unanswerable("the model failed on it: RuntimeError")


def test_scores_that_are_not_finite_never_come_out(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    z = letter_z(engine)

    def behave(input_ids: torch.Tensor, logits: Any) -> Any:
        logits[torch.eq(input_ids, z).any(dim=1)] = float("nan")
        return logits

    spy_on_forward(engine, monkeypatch, behave)
    found = engine.classify(["a", "z", "b"])
    assert isinstance(found[0], Answer)
    assert found[1] == Unanswerable("the model failed on it: its scores are not finite")
    assert isinstance(found[2], Answer)


def test_a_model_that_fails_on_an_ordinary_text_too_is_broken(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(input_ids: torch.Tensor, logits: Any) -> Any:
        raise RuntimeError("secret text")

    spy_on_forward(engine, monkeypatch, behave)
    with pytest.raises(ModelError, match="fails on an ordinary text") as caught:
        engine.classify(["a", "b"])
    assert "secret" not in str(caught.value)
    with pytest.raises(ModelError, match="fails on an ordinary text"):
        engine.warm_up()


def test_a_text_that_the_tokenizer_refuses_leaves_the_others_unharmed(engine: Engine) -> None:
    found = engine.classify(["a", "\ud83d", "b"])
    assert isinstance(found[0], Answer)
    assert found[1] == Unanswerable("the tokenizer failed on it: TypeError")
    assert isinstance(found[2], Answer)


def test_a_text_alone_and_in_a_padded_bf16_batch_score_within_0_02(directory: Path) -> None:
    engine = load_engine(str(directory), device="cpu", dtype="bfloat16")
    texts = [f"{'word ' * (n % 6)}{n}" for n in range(40)]
    for text, together in zip(texts, answers(engine, texts), strict=True):
        assert answers(engine, [text])[0].scores == pytest.approx(together.scores, abs=0.02)


def test_model_text_may_be_called_while_another_thread_classifies(engine: Engine) -> None:
    texts = [f"Text {n}" for n in range(300)]
    expected = [engine.model_text(text) for text in texts]
    wrong: list[str] = []

    def prepare() -> None:
        for _ in range(5):
            wrong.extend(text for text, want in zip(texts, expected, strict=True) if engine.model_text(text) != want)

    thread = threading.Thread(target=prepare)
    thread.start()
    assert len(answers(engine, texts)) == 300
    thread.join()
    assert wrong == []


def test_warming_up_a_good_model_is_quiet(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.warm_up()
    assert capfd.readouterr() == ("", "")


def noted_passes(directory: Path) -> tuple[Engine, list[ModelPass]]:
    """An engine that is ready, and the passes that it tells of from now on."""
    passes: list[ModelPass] = []
    engine = tiny_engine(directory, passes.append)
    engine.warm_up()
    assert not passes, "warming up answers nobody"
    return engine, passes


def test_steps_stop_between_passes_and_end_with_what_classify_answers(directory: Path) -> None:
    engine, passes = noted_passes(directory)
    texts = [f"{'a ' * (n % 9)}{n}" for n in range(40)]
    expected = engine.classify(texts)
    passes.clear()
    steps = engine.steps(texts)
    stops = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found = done.value
            break
        assert len(passes) == stops
        stops += 1
    assert len(passes) == stops > 2  # one after the other, each after a stop
    for answer, want in zip(found, expected, strict=True):
        assert isinstance(answer, Answer)
        assert isinstance(want, Answer)
        assert answer.scores == pytest.approx(want.scores, abs=1e-4)


def test_other_texts_may_be_classified_between_two_steps(directory: Path) -> None:
    engine, _ = noted_passes(directory)
    texts = [f"{'a ' * (n % 9)}{n}" for n in range(40)]
    alone = [answer for answer in engine.classify(texts) if isinstance(answer, Answer)]
    found = interleaved({"stream": engine.steps(texts), "callers": engine.steps(texts[::-1])})
    for stream, caller, want in zip(found["stream"], found["callers"][::-1], alone, strict=True):
        assert isinstance(stream, Answer)
        assert isinstance(caller, Answer)
        assert stream.scores == pytest.approx(want.scores, abs=1e-4)
        assert caller.scores == pytest.approx(want.scores, abs=1e-4)


def test_a_pass_tells_how_many_texts_it_ran_over_how_many_tokens_and_how_much_was_padding(directory: Path) -> None:
    engine, passes = noted_passes(directory)
    texts = ["a", "a b c", "a b c d"]
    lengths = [len(engine.tokenizer.encode(text).ids) for text in texts]
    engine.classify(texts)
    (done,) = passes
    assert done.texts == 3
    assert done.tokens == sum(lengths)
    assert done.padded_tokens == Widths(MAX_TOKENS).padded(sum(lengths)) > sum(lengths)
    assert 0 < done.began_s < done.ended_s <= time.perf_counter()


def test_every_text_is_told_of_in_exactly_one_pass_within_the_budget(directory: Path) -> None:
    engine, passes = noted_passes(directory)
    texts = [f"{'a ' * (n % 9)}{n}" for n in range(60)]
    engine.classify([*texts, *texts])
    assert sum(done.texts for done in passes) == 60
    assert sum(done.tokens for done in passes) == sum(len(engine.tokenizer.encode(text).ids) for text in texts)
    assert all(done.tokens <= done.padded_tokens <= 64 for done in passes)


def test_a_pass_that_fails_is_not_told_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, passes = noted_passes(directory)
    sizes = spy_on_forward(engine, monkeypatch, fail_on_z(engine))
    engine.classify(["a", "z", "b"])
    assert sum(done.texts for done in passes) < sum(sizes)
    # Nor of the ordinary text that is run to see whether the model or the text is at fault.
    assert [done.texts for done in passes] == [1, 1]


def test_a_pass_whose_scores_are_not_finite_is_not_told_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, passes = noted_passes(directory)

    def behave(_input_ids: torch.Tensor, logits: Any) -> Any:
        logits[:] = float("nan")
        return logits

    spy_on_forward(engine, monkeypatch, behave)
    with pytest.raises(ModelError):
        engine.classify(["a"])
    assert passes == []
