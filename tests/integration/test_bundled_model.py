import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from consumer.answer import Answer
from consumer.cache import AnswerCodec
from consumer.model import Engine, load_engine

ROOT = Path(__file__).parents[2]
BUNDLED = Path(str(files("consumer.model") / "bundled"))


@pytest.fixture(scope="module", params=["torch", "openvino"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return load_engine("bundled", backend=request.param)


def labels(engine: Engine, text: str) -> dict[str, str]:
    answer = engine.classify([engine.model_text(text)])[0]
    assert isinstance(answer, Answer)
    return {group: tag.label for group, tag in engine.tag_groups.tags(answer).items() if group != "language"}


@pytest.mark.parametrize(
    "text",
    ["I love this, thank you so much!", "Great article, very helpful 😍", "not bad at all", "BEST DAY EVER &lt;3"],
)
def test_clear_praise_is_positive_and_clean(engine: Engine, text: str) -> None:
    assert labels(engine, text) == {"sentiment": "positive", "toxicity": "clean"}


@pytest.mark.parametrize(
    "text",
    ["You are a worthless piece of shit", "You're an idiot.", "@bob shut up you stupid b\u200bitch https://x.y/z"],
)
def test_clear_abuse_is_negative_and_toxic(engine: Engine, text: str) -> None:
    assert labels(engine, text) == {"sentiment": "negative", "toxicity": "toxic"}


@pytest.mark.parametrize("text", ["This is the worst phone I have ever owned.", "What a stupid movie"])
def test_criticism_of_a_thing_is_negative_but_clean(engine: Engine, text: str) -> None:
    assert labels(engine, text) == {"sentiment": "negative", "toxicity": "clean"}


@pytest.mark.parametrize("text", ["", "https://x.y/z", "😂", "日本語のコメント"])
def test_a_text_without_words_is_tagged_and_clean(engine: Engine, text: str) -> None:
    assert labels(engine, text)["toxicity"] == "clean"


def test_a_text_beyond_128_tokens_is_read_whole_and_beyond_512_truncated(engine: Engine) -> None:
    long, longer = engine.classify([engine.model_text("good " * 500), engine.model_text("good " * 600)])
    assert isinstance(long, Answer)
    assert isinstance(longer, Answer)
    assert (long.truncated, longer.truncated) == (False, True)


def test_every_answer_comes_back_from_the_cache(engine: Engine) -> None:
    rows = map(json.loads, (ROOT / "tests/unit/foreign_comments.jsonl").read_text().splitlines())
    texts = [
        engine.model_text(text) for text in (*(row["text"] for row in rows), "", "awful " * 600, "I love it", "idiot")
    ]
    cache = AnswerCodec(engine.tag_groups.score_count, "", engine.tag_groups.competing)
    answers = engine.classify(texts)
    assert len(answers) > 100
    for answer in answers:
        assert isinstance(answer, Answer)
        assert cache.decode(b"key", cache.encode(b"key", answer)) is not None


def test_alone_and_batched_scores_are_within_0_02(engine: Engine) -> None:
    texts = [engine.model_text(f"I {'really ' * (n % 12)}like number {n}") for n in range(64)]
    for text, together in zip(texts, engine.classify(texts), strict=True):
        alone = engine.classify([text])[0]
        assert isinstance(alone, Answer)
        assert isinstance(together, Answer)
        assert alone.scores == pytest.approx(together.scores, abs=0.02)


def test_the_number_format_of_this_machine_agrees_with_fp32(engine: Engine) -> None:
    texts = [engine.model_text(text) for text in ("I love it", "you are an idiot", "the train leaves at five", "meh")]
    for fast, exact in zip(
        engine.classify(texts), load_engine("bundled", dtype="float32").classify(texts), strict=True
    ):
        assert isinstance(fast, Answer)
        assert isinstance(exact, Answer)
        assert fast.scores == pytest.approx(exact.scores, abs=0.03)


def test_it_stays_within_4_mb() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 4_000_000


def test_the_base_encoder_package_is_never_imported() -> None:
    load = "import sys; from consumer.model import load_engine; load_engine('bundled'); "
    code = load + "print('sentence_transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "False\n"
