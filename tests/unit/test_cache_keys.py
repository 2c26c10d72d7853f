import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.cache.keys import key_function

any_text = st.text(st.characters())


@given(any_text, any_text)
def test_texts_share_a_key_exactly_when_they_are_equal(one: str, other: str) -> None:
    key = key_function("fingerprint", "secret")
    assert (key(one) == key(other)) == (one == other)


@given(any_text, any_text, any_text)
def test_every_member_with_the_same_secret_computes_the_same_key(fingerprint: str, secret: str, text: str) -> None:
    assert key_function(fingerprint, secret)(text) == key_function(fingerprint, secret)(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("model a", ""), ("model b", "")),
        (("the same beginning, model a", ""), ("the same beginning, model b", "")),
        (("model", ""), ("model", "secret")),
        (("model", "secret a"), ("model", "secret b")),
        (("model", "x" * 100 + "a"), ("model", "x" * 100 + "b")),
    ],
)
def test_another_fingerprint_or_secret_is_another_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    digests = [key_function(*settings)("first!").rsplit(b":", 1)[1] for settings in (one, other)]
    assert digests[0] != digests[1]


def test_a_key_is_short_and_names_its_model_not_its_text() -> None:
    key = key_function("0123456789abcdef", "")("a text " * 1000)
    assert key.startswith(b"moderate:0123456789ab:")
    assert len(key) == len(b"moderate:0123456789ab:") + 16


def test_asking_for_one_key_leaves_no_trace_in_the_next() -> None:
    key = key_function("fingerprint", "secret")
    first = key("first!")
    key("something else")
    assert key("first!") == first
