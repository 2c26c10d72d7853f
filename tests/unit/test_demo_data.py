"""The demo's comments are what the demo says they are."""

import json
from collections import Counter

import pytest

from consumer.batch import Decoded, Refusal
from consumer.decode import decode
from consumer.demo_data import BrokenRecord, broken, comments
from consumer.model.cleaning import clean


def test_every_demo_comment_keeps_the_contract_under_an_id_of_its_own() -> None:
    decoded = [decode(value) for value in comments()]
    assert all(isinstance(comment, Decoded) for comment in decoded)
    assert len({comment.comment_id for comment in decoded if isinstance(comment, Decoded)}) == len(decoded) >= 300


def test_the_demo_has_repeats_long_texts_and_many_scripts() -> None:
    texts = [json.loads(value)["text"] for value in comments()]
    assert Counter(texts).most_common(1)[0][1] >= 20
    assert max(map(len, texts)) > 9_900
    assert sum(not text.isascii() for text in texts) > 90
    assert any(not clean(text) for text in texts)


def test_the_same_text_comes_from_several_authors() -> None:
    authors: dict[str, set[str]] = {}
    for value in comments():
        comment = json.loads(value)
        authors.setdefault(comment["text"], set()).add(comment["author_id"])
    assert sum(len(names) >= 4 for names in authors.values()) >= 10


def test_the_optional_fields_and_one_of_the_producers_own_are_there() -> None:
    fields = set().union(*(json.loads(value) for value in comments()))
    assert fields == {"id", "text", "author_id", "thread_id", "language", "created_at", "metadata", "reply_to"}


@pytest.mark.parametrize("record", broken(), ids=lambda record: record.name)
def test_each_broken_record_is_refused_for_the_reason_it_names(record: BrokenRecord) -> None:
    refusal = decode(record.value)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == record.reason
