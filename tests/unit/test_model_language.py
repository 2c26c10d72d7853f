"""A comment in another language: found by its words, tagged with low confidence, sent to review."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.answer import Answer, Unanswerable
from consumer.cache import AnswerCodec
from consumer.loading import make_policy
from consumer.model import Engine, load_engine
from consumer.model.cleaning import clean
from consumer.model.doubt import LANGUAGE, doubted, with_language
from consumer.model.explain import explain
from consumer.model.labels import TagGroup, TagGroups
from consumer.model.language import other_language_score
from consumer.settings import Settings
from consumer.training.predict import label_of
from tests.multilingual_model import save_multilingual_classifier
from tests.tiny_models import TAG_GROUPS, save_classifier

REVIEWED_FROM = 0.9
FOREIGN = [json.loads(line) for line in (Path(__file__).parent / "foreign_comments.jsonl").read_text().splitlines()]
ENGLISH = [
    "Great article, very helpful, thank you!",
    "You are an idiot.",
    "ok",
    "lol",
    "awesome",
    "first!",
    "faggot",
    "@user @user #MakeItStop http",
    "What a c'est la vie attitude, pure schadenfreude.",
    "The train to Köln leaves at five, and the café is closed.",
    "smh yall cant even spell",
    "I ate a croissant and a bratwurst at the fiesta in Guadalajara with Björn",
]
EXPECTED_GROUPS = TagGroups(
    (
        TagGroup("sentiment", "softmax", ("negative", "neutral", "positive"), (0, 1, 2)),
        TagGroup("toxicity", "sigmoid", ("toxic",), (3,), "clean"),
    )
)
scores = st.floats(min_value=0.0, max_value=1.0)


@pytest.fixture(scope="module")
def english_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that says it knows English."""
    model = save_classifier(tmp_path_factory.mktemp("english"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"languages": ["en"]}))
    return model


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    model = save_multilingual_classifier(tmp_path_factory.mktemp("multilingual"))
    return load_engine(str(model), device="cpu", dtype="float32")


def answer_of(engine: Engine, text: str) -> Answer:
    answer = engine.classify([engine.model_text(text)])[0]
    assert isinstance(answer, Answer)
    return answer


def test_the_foreign_comments_are_three_hundred_in_thirty_languages() -> None:
    assert len({row["text"] for row in FOREIGN}) >= 300
    assert len({row["language"] for row in FOREIGN}) >= 30


def test_at_least_98_percent_of_the_foreign_comments_are_reviewed() -> None:
    found = [other_language_score(clean(row["text"])) >= REVIEWED_FROM for row in FOREIGN]
    assert sum(found) >= 0.98 * len(found)


def test_every_foreign_comment_is_more_likely_foreign_than_not() -> None:
    assert [row for row in FOREIGN if other_language_score(clean(row["text"])) <= 0.5] == []


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_not_reviewed_for_its_language(text: str) -> None:
    assert other_language_score(clean(text)) < 0.5


@pytest.mark.parametrize("text", ["", "http", "12 34 !!", "#vamos @user", "rt"])
def test_a_text_without_words_is_in_no_other_language(text: str) -> None:
    assert other_language_score(text) == 0.0


@given(st.text(max_size=300))
def test_the_score_is_a_probability_and_the_same_every_time(text: str) -> None:
    score = other_language_score(text)
    assert 0.0 <= score <= 1.0
    assert other_language_score(text) == score


@pytest.mark.parametrize("row", FOREIGN[::40], ids=lambda row: row["language"])
def test_letter_case_and_accents_do_not_matter(row: dict[str, str]) -> None:
    text = clean(row["text"])
    assert other_language_score(text.upper().lower()) == other_language_score(text.lower())


@given(st.tuples(scores, scores, scores), scores, st.sampled_from([row["text"] for row in FOREIGN] + ENGLISH))
def test_doubt_never_changes_a_label_and_never_makes_a_score_more_certain(
    sentiment: tuple[float, float, float], toxic: float, text: str
) -> None:
    total = sum(sentiment) or 1.0
    answer = Answer((*(score / total for score in sentiment), toxic), False)
    after = doubted(text, answer, EXPECTED_GROUPS)
    assert isinstance(after, Answer)
    codec = AnswerCodec(score_count=5, secret="", competing=())
    cached = codec.decode(b"key", codec.encode(b"key", after))
    assert cached is not None
    if sorted(sentiment)[2] - sorted(sentiment)[1] > 1e-3 * total:  # else a near tie, which any rounding may decide
        label = label_of(EXPECTED_GROUPS.scores(Answer((*answer.scores, 0.0), False))["sentiment"])
        assert label_of(EXPECTED_GROUPS.scores(cached)["sentiment"]) == label
    assert after.scores[4] == other_language_score(text)
    for before_score, after_score, even in zip(answer.scores, after.scores, (1 / 3, 1 / 3, 1 / 3, 0.5), strict=False):
        assert abs(after_score - even) <= abs(before_score - even) + 1e-9
        assert (after_score - even) * (before_score - even) >= -1e-9


def test_a_text_that_made_the_model_fail_stays_unanswerable() -> None:
    unanswerable = Unanswerable("the model failed on it")
    assert doubted("Bonjour", unanswerable, EXPECTED_GROUPS) is unanswerable


def test_a_model_that_says_it_knows_english_tags_the_language_too(english_model: Path) -> None:
    engine = load_engine(str(english_model), device="cpu", dtype="float32")
    assert engine.tag_groups == with_language(EXPECTED_GROUPS)
    foreign, english = (
        engine.tag_groups.tags(answer_of(engine, text)) for text in ("Ich verstehe das nicht", "I do not get it")
    )
    assert (foreign["language"].label, english["language"].label) == ("other", "known")
    assert max(foreign["sentiment"].scores.values()) < 0.35
    assert foreign["toxicity"].score < 0.52


def test_an_english_text_keeps_the_scores_it_has_without_the_detection(english_model: Path, tmp_path: Path) -> None:
    text = "this is the best thing I have seen all year"
    engine = load_engine(str(english_model), device="cpu", dtype="float32")
    plain = load_engine(str(save_classifier(tmp_path)), device="cpu", dtype="float32")
    assert answer_of(engine, text).scores[:4] == pytest.approx(answer_of(plain, text).scores, abs=0.002)


def test_a_foreign_text_is_reviewed_and_not_rejected_by_default(english_model: Path) -> None:
    engine = load_engine(str(english_model), device="cpu", dtype="float32")
    policy = make_policy(Settings(), engine.tag_groups.label_names())
    sure = Answer((0.99, 0.005, 0.005, 0.999), False)
    doubtful = doubted("Halt die Klappe du Vollidiot", sure, engine.tag_groups)
    assert isinstance(doubtful, Answer)
    decision = policy.decide(engine.tag_groups.tags(doubtful))
    assert (decision.action, decision.rule) == ("review", "review:language.other")


def test_the_detection_is_part_of_the_models_version(english_model: Path, tmp_path: Path) -> None:
    assert load_engine(str(english_model)).version != load_engine(str(save_classifier(tmp_path))).version


def test_a_multilingual_model_directory_is_a_drop_in_without_language_tags(multilingual: Engine) -> None:
    assert multilingual.tag_groups.label_names() == {
        "sentiment": ("negative", "neutral", "positive"),
        "toxicity": ("clean", "toxic"),
    }
    assert list(TAG_GROUPS) == list(multilingual.tag_groups.label_names())
    assert LANGUAGE not in multilingual.tag_groups.groups
    answers = [answer_of(multilingual, text) for text in ("Das ist großartig", "это прекрасно", "素晴らしい")]
    assert len({answer.scores for answer in answers}) == 3


def test_the_default_policy_fits_a_multilingual_model(multilingual: Engine) -> None:
    assert "language.other" not in make_policy(Settings(), multilingual.tag_groups.label_names()).review


def test_a_multilingual_model_can_be_explained(multilingual: Engine) -> None:
    text = multilingual.model_text("Das ist großartig")
    for explanation in explain(multilingual, text, answer_of(multilingual, text)):
        assert [word.text for word in explanation.words] == ["Das", "ist", "großartig"]
        assert explanation.completeness_error < 0.01
