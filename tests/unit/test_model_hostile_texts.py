"""Every function of the model that sees a text takes any text, in time in proportion to its length."""

import re
import unicodedata

import emoji
import pytest
from hypothesis import HealthCheck, given, settings
from tokenizers import Tokenizer

from consumer.model.base import base_directory
from consumer.model.cleaning import clean
from consumer.model.disguise import undisguise
from consumer.model.emoji_names import named
from consumer.model.encoding import Encoded, encode, prepare_tokenizer
from consumer.model.escapes import unfolded
from consumer.model.explain import _words
from consumer.model.language import other_language_score
from consumer.model.normaliser import idempotent_normaliser
from schemas import MAX_TEXT_CHARACTERS
from tests.text_checks import check_cleaning, check_in_time
from tests.text_strategies import JOINER, NASTY_PIECES, repeated, texts

any_text = given(texts())
many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)  # some 8 ms each; `make chaos CHAOS=fuzz` goes on for ten minutes
few = settings(many, max_examples=50, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(base_directory() / "tokenizer.json"))
    prepare_tokenizer(tokenizer, 512)
    return tokenizer


@many
@any_text
def test_any_text_is_cleaned_once_and_for_all_in_time_and_no_longer_than_the_limit(text: str) -> None:
    check_cleaning(clean, text)


@many
@any_text
def test_any_text_goes_through_each_step_of_cleaning_in_time(text: str) -> None:
    text = text[:MAX_TEXT_CHARACTERS]
    for step in (unfolded, named, undisguise):
        check_in_time(step, text)


@few
@any_text
def test_any_text_gets_a_language_score_in_time(text: str) -> None:
    assert 0.0 <= check_in_time(other_language_score, clean(text)) <= 1.0


@few
@any_text
def test_any_text_is_normalised_tokenised_and_cut_into_words_in_time(tokenizer: Tokenizer, text: str) -> None:
    normalise = idempotent_normaliser(tokenizer)
    model_text = check_in_time(lambda raw: normalise(clean(raw)), text)
    [encoded] = encode(tokenizer, [model_text], pad_id=0)
    assert isinstance(encoded, Encoded)
    encoding = check_in_time(tokenizer.encode, model_text, most_seconds=0.4)  # in Rust, without the interpreter's lock
    assert encoding.ids == encoded.ids == tokenizer.encode(clean(text)).ids
    for word in _words(encoding, model_text, [1.0] * len(encoding.ids)):
        assert word.text == model_text[word.start : word.end].strip()


@pytest.mark.parametrize(
    "text",
    [
        "&#" + "1" * 4301 + ";",
        "&#" + "0" * 20_000 + "65;",
        "&#x" + "f" * 5_000 + ";",
        "&amp;#" + "0" * 5_000 + "65;",
        "&amp;amp;#" + "9" * 5_000,
        "\\u0026#" + "1" * 5_000 + ";",
        "\\u005cu0026#" + "1" * 5_000 + ";",
        "＆#" + "１" * 5_000 + "；",
        "&#" + "१" * 5_000 + ";",
        "&#" + "１" * 5_000 + "&#59;",
    ],
    ids=ascii,
)
def test_a_number_of_any_length_in_any_digits_does_not_make_cleaning_raise(text: str) -> None:
    check_cleaning(clean, text)


@pytest.mark.parametrize(
    "unit",
    [
        "😀" + JOINER, "🧑🏻‍❤️‍💋‍🧑🏼", "\u0f73", "\u0301\u0316", "\u0344", "a\u0f73", "\ufdfb\u0f73", "\ufdfa", "㌖",
        "\U0001d160", "1️⃣", "🇩🇪", "〰", "&a", "&lt ", "\\u0061 ", "&notit;", "f@ggot ", "1d10t ", "aaab", "аa ", " n't",
        "@a\u3099", "각", "é a b ", "😀\u3099", "❤\u0958",
    ],
    ids=ascii,
)  # fmt: skip
def test_texts_that_were_slow_are_not(unit: str) -> None:
    """The first three took 1.1, 1.1 and 1.6 s for the longest text."""
    for text in (repeated(unit), repeated(unit, before="x"), repeated(unit, after="/")):
        check_cleaning(clean, text)


@pytest.mark.parametrize("piece", NASTY_PIECES, ids=ascii)
def test_no_piece_is_slow_or_grows_when_it_is_repeated(piece: str) -> None:
    check_cleaning(clean, repeated(piece))
    check_in_time(other_language_score, clean(repeated(piece)))


@pytest.mark.parametrize("grown", ["\ufdfa", "\u3316", "@a\u3099", "😀🐂", "🧑‍❤‍💋‍🧑a", "@a.", "www."], ids=ascii)
def test_what_grows_when_it_is_cleaned_is_cut(grown: str) -> None:
    assert len(clean(repeated(grown))) <= MAX_TEXT_CHARACTERS


def test_nothing_beyond_the_limit_is_read() -> None:
    text = "word " * (MAX_TEXT_CHARACTERS // 5)
    assert clean(text + "idiot" * 1_000_000) == clean(text)


def test_what_follows_a_wall_of_hostile_signs_is_still_read() -> None:
    for wall in ("😀🐂" * 4_000, "a1aa " * 1_000, "@a. " * 1_000, "аaа " * 1_000, "\u0f73" * 8_000, "&lt " * 1_500):
        assert clean(f"{wall} you idiot").endswith("you idiot")


@pytest.mark.parametrize("form", ["{}", "a{}b", "{}\u200d", "{0} {0}", "{}\u200d🐂", "🐂\u200d{}"])
def test_emoji_are_named_as_the_library_names_them(form: str) -> None:
    """Fully qualified or not, without the skin tones and selectors that a cleaned text has no longer."""
    left_out = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff]")
    signs = {left_out.sub("", sign) for sign in emoji.EMOJI_DATA if unicodedata.is_normalized("NFKC", sign)} - {""}
    for text in map(form.format, sorted(signs)):
        words = emoji.replace_emoji(text, lambda _, data: f" {data['en'].strip(':').replace('_', ' ')} ")
        assert named(text).split() == words.replace(JOINER, "").split(), ascii(text)
