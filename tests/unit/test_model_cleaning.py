import emoji
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.model.cleaning import clean

FRAGMENTS = [
    "&amp;", "&#38;", "&", "lt;", "amp;", "\\u0026", "\\u", "0026", "@", "@user", "@a b", " ", "\n", "\x00", "http://",
    "HTTPS://x.y", "www.", "\u200d", "\u200b", "\ufe0f", "❤️‍🔥", "😂😂", "👍🏽", "1️⃣", "🇬🇬", "\ud83d", "\ude00",
    "&#128514;", "é", "\u0301", "＆", "．",
]  # fmt: skip
anything = st.lists(st.sampled_from(FRAGMENTS) | st.text(st.characters(), max_size=4)).map("".join)


@given(anything)
def test_cleaning_twice_is_cleaning_once_and_no_text_makes_it_raise(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode()  # no lone surrogate is left


@given(anything)
def test_a_cleaned_text_has_no_spare_white_space(text: str) -> None:
    assert clean(text) == " ".join(clean(text).split())


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain text stays.", "plain text stays."),
        ("Tom &amp; Jerry &lt;3", "Tom & Jerry <3"),
        ("&amp;amp;lt;3", "<3"),
        ("it\\u2019s \\ud83d\\ude02", "it’s face with tears of joy"),
        ("see https://a.b/c?d=e and www.x.y", "see http and http"),
        ("@bob @alice hi, mail me@x.com", "@user hi, mail me@x.com"),
        ("id\u200biot \u202efdp", "idiot fdp"),
        ("𝓯𝓾𝓵𝓵 ｗｉｄｔｈ ﬁ", "full width fi"),
        ("so 😂😂😂 funny", "so face with tears of joy funny"),
        ("👍🏽👍", "thumbs up"),
        ("👩‍👩‍👧", "family woman woman girl"),
        ("  a\t\nb\x07  ", "a b"),
        ("\u200b \ud83d", ""),
        ("日本語 ok", "日本語 ok"),
    ],
)
def test_a_text_is_cleaned_to(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_no_known_emoji_survives() -> None:
    left = [sign for sign in emoji.EMOJI_DATA if emoji.emoji_count(clean(f"a{sign}b"))]
    assert left == []


def test_deeply_nested_entities_end() -> None:
    assert "&" not in clean("&" + "amp;" * 5000 + "lt;")
