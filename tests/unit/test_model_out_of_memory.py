from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumer.answer import Answer, Unanswerable
from consumer.model import ModelError, load_engine
from consumer.model.packing import WIDTH_STEPS
from consumer.model.token_budget import GIVE_UP_AFTER_S, TokenBudget
from tests.tiny_models import MAX_TOKENS, save_classifier

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
MAX_BATCH_TOKENS = 256

TEXTS = [f"{'word ' * (n % 5)}{n}" for n in range(60)]

Behaviour = Callable[[torch.Tensor], None]


class Bench:
    """An engine on a small model whose forward passes do what `behave` does first, and on whose clock only waiting
    takes time."""

    backend = "torch"
    device = torch.device("cpu")
    dtype = torch.float32
    shares_rows = True
    width_steps = WIDTH_STEPS
    pass_tokens = 100
    passes_at_once = 1
    alone_is_faster = True

    def __init__(self, directory: Path) -> None:
        self.engine = load_engine(str(directory), device="cpu", dtype="float32", max_batch_tokens=MAX_BATCH_TOKENS)
        self.behave: Behaviour = lambda _: None
        self.now_s = 0.0
        self.passes: list[torch.Tensor] = []
        self.texts_run = 0
        self._network = self.engine._passes.runner
        self.engine._passes.runner = self
        self.renew_budget()

    def renew_budget(self) -> None:
        self.engine._budget = TokenBudget(
            "tiny",
            torch.device("cpu"),
            most_tokens=MAX_BATCH_TOKENS,
            least_tokens=MAX_TOKENS,
            clock=lambda: self.now_s,
            sleep=self._sleep,
        )

    def classify(self, texts: list[str]) -> list[Answer | Unanswerable]:
        return self.engine.classify([self.engine.model_text(text) for text in texts])

    def token(self, piece: str) -> int:
        token = self.engine.tokenizer.token_to_id(piece)
        assert token is not None
        return token

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def run(self, *laid_out: torch.Tensor) -> torch.Tensor:
        input_ids, _text_numbers, _position_ids, firsts = laid_out
        self.behave(input_ids)
        self.passes.append(input_ids)
        self.texts_run += len(firsts)
        return self._network.run(*laid_out)

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        return partial(self.run, *laid_out)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture
def bench(directory: Path) -> Bench:
    return Bench(directory)


@pytest.fixture(scope="module")
def shared_bench(directory: Path) -> Bench:
    return Bench(directory)


def fits_only(most_tokens: int) -> Behaviour:
    def behave(input_ids: torch.Tensor) -> None:
        if input_ids.numel() > most_tokens:
            raise OUT_OF_MEMORY

    return behave


def fails_first(*errors: Exception) -> Behaviour:
    left = iter(errors)

    def behave(_input_ids: torch.Tensor) -> None:
        if error := next(left, None):
            raise error

    return behave


def agree(found: list[Answer | Unanswerable], expected: list[Answer | Unanswerable]) -> bool:
    """Whether the same texts have the same scores; padding moves them in the last digits."""
    return all(
        isinstance(one, Answer) and isinstance(other, Answer) and one.scores == pytest.approx(other.scores, abs=1e-4)
        for one, other in zip(found, expected, strict=True)
    )


def test_the_budget_is_halved_and_every_text_gets_the_answer_it_would_have_got(bench: Bench) -> None:
    expected = bench.classify(TEXTS)
    bench.texts_run = 0
    bench.behave = fits_only(70)
    with capture_logs() as logs:
        assert agree(bench.classify(TEXTS), expected)
    assert [(line["event"], line["tokens"], line["halved_to"]) for line in logs] == [
        ("model_out_of_memory", 256, 128),
        ("model_out_of_memory", 128, 64),
    ]
    assert all(line["log_level"] == "warning" and "MAX_BATCH_TOKENS" in line["remedy"] for line in logs)
    assert bench.texts_run == len(TEXTS), "each text once"


def test_the_smaller_budget_stays(bench: Bench) -> None:
    bench.behave = fits_only(70)
    bench.classify(TEXTS)
    with capture_logs() as logs:
        bench.classify(TEXTS)
    assert logs == []


def test_passes_side_by_side_that_find_no_memory_are_run_anew_smaller(bench: Bench) -> None:
    expected = bench.classify(TEXTS)
    bench.passes_at_once = 3
    bench.renew_budget()
    bench.behave = fits_only(70)
    assert agree(bench.classify(TEXTS), expected)
    bench.renew_budget()
    bench.behave = fails_first(OUT_OF_MEMORY)  # those beside it are done, and run again
    assert agree(bench.classify(TEXTS), expected)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("abcz 019", max_size=40), max_size=40),
    st.integers(min_value=MAX_TOKENS, max_value=MAX_BATCH_TOKENS),
)
def test_whatever_fits_the_answers_are_the_same_each_text_once_and_in_order(
    shared_bench: Bench, texts: list[str], most_tokens: int
) -> None:
    bench = shared_bench
    bench.behave = lambda _: None
    expected = bench.classify(texts)
    bench.texts_run = 0
    bench.renew_budget()
    bench.behave = fits_only(most_tokens)
    assert agree(bench.classify(texts), expected)
    assert bench.texts_run == len({bench.engine.model_text(text) for text in texts})
    assert bench.now_s == 0.0, "nothing waits as long as halving helps"


def test_a_text_that_fails_is_found_alone_while_memory_is_short_too(bench: Bench) -> None:
    z, short = bench.token("z"), fits_only(40)

    def behave(input_ids: torch.Tensor) -> None:
        short(input_ids)
        if bool(torch.eq(input_ids, z).any()):
            raise RuntimeError("the text was: z")

    bench.behave = behave
    found = bench.classify(["a", "z", *TEXTS])
    assert found[1] == Unanswerable("the model failed on it: RuntimeError")
    assert all(isinstance(answer, Answer) for answer in [found[0], *found[2:]])


def test_memory_that_runs_out_while_a_failing_text_is_searched_makes_no_dead_letter(bench: Bench) -> None:
    bench.behave = fails_first(RuntimeError("something else"), *[OUT_OF_MEMORY] * 6)
    assert all(isinstance(answer, Answer) for answer in bench.classify(TEXTS))


def test_memory_that_runs_out_when_a_single_texts_failure_is_checked_proves_nothing(bench: Bench) -> None:
    bench.behave = fails_first(RuntimeError("something else"), OUT_OF_MEMORY)
    (answer,) = bench.classify(["a"])
    assert isinstance(answer, Answer)


def test_at_the_least_budget_it_waits_and_goes_on_when_memory_comes_back(bench: Bench) -> None:
    expected = bench.classify(TEXTS)
    halvings = 4  # 256, 128, 64, 32, 24
    bench.behave = fails_first(*[OUT_OF_MEMORY] * (halvings + 3))
    with capture_logs() as logs:
        assert agree(bench.classify(TEXTS), expected)
    assert 0.0 < bench.now_s < GIVE_UP_AFTER_S
    assert Counter(line["event"] for line in logs) == {"model_out_of_memory": halvings, "model_waits_for_memory": 1}
    assert logs[-2]["halved_to"] == MAX_TOKENS, "never below one longest text"


def test_memory_that_stays_short_ends_in_a_sentence_and_never_in_a_dead_letter(bench: Bench) -> None:
    bench.behave = fits_only(0)
    with pytest.raises(ModelError, match=r"memory on cpu.*30 s.*MAX_BATCH_TOKENS") as caught:
        bench.classify(TEXTS)
    assert "word" not in str(caught.value)
    assert bench.now_s == pytest.approx(GIVE_UP_AFTER_S)


def test_the_time_to_give_up_begins_anew_after_every_pass_that_fits(bench: Bench) -> None:
    calls = iter(range(1_000_000))

    def behave(_input_ids: torch.Tensor) -> None:
        if next(calls) % 2:
            bench.now_s += GIVE_UP_AFTER_S / 2
            raise OUT_OF_MEMORY

    bench.behave = behave
    with capture_logs() as logs:
        assert all(isinstance(answer, Answer) for answer in bench.classify(TEXTS))
    assert bench.now_s > GIVE_UP_AFTER_S * 3, "in all it waited for longer than it waits for one"
    assert sum(line["event"] == "model_waits_for_memory" for line in logs) > 1, "and it is said each time"


def test_a_full_micro_batch_that_does_not_fit_at_warm_up_halves_the_budget(bench: Bench) -> None:
    bench.behave = fits_only(130)
    with capture_logs() as logs:
        bench.engine.warm_up()
    assert [line["halved_to"] for line in logs] == [128]
    assert len(bench.passes[-1]) > 1, "the fullest micro-batch of the new budget has run"


def test_a_model_that_never_fits_ends_the_warm_up_in_a_sentence(bench: Bench) -> None:
    bench.behave = fits_only(MAX_TOKENS - 1)  # the longest text does not fit
    with pytest.raises(ModelError, match="too little memory"):
        bench.engine.warm_up()
    assert bench.now_s == pytest.approx(GIVE_UP_AFTER_S)


def test_a_broken_cuda_context_ends_the_process_and_makes_no_dead_letter(bench: Bench) -> None:
    broken: list[bool] = []

    def behave(input_ids: torch.Tensor) -> None:
        if broken or bool(torch.eq(input_ids, bench.token("z")).any()):
            broken.append(True)  # after a device-side assert every later call fails, whatever the text
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    bench.behave = behave
    with pytest.raises(ModelError, match=r"fails on an ordinary text \(AcceleratorError\)"):
        bench.classify(["a", "z", "b"])
    assert bench.now_s == 0.0, "a broken context does not come back by waiting"
