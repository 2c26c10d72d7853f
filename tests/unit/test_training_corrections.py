"""From a record on the feedback topic to a correction, and from corrections to labels."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.training import corrections as module
from consumer.training.corrections import (
    Correction,
    Rejected,
    conflicting_comments,
    label_counts,
    labels_by_text,
    labels_of,
    opinions_of,
    standing,
)
from consumer.training.feedback_record import entry_of
from schemas import CorrectedLabels
from tests.corrections import EXAMPLE, SENT_MS, record, value

KEY = b"k" * 32


def correction(offset: int, raw: bytes, partition: int = 0) -> Correction:
    entry = entry_of(record(offset, raw, partition), KEY, SENT_MS)
    assert isinstance(entry, Correction)
    return entry


def test_the_last_correction_of_a_tag_group_wins_and_leaves_the_other_group_alone() -> None:
    corrections = [
        correction(0, value("c", "hello", 20, toxicity="toxic")),
        correction(1, value("c", "hello", 10, sentiment="negative", toxicity="clean")),
        correction(2, value("c", "hello", 15, sentiment="positive")),
    ]
    assert labels_by_text(opinions_of(corrections)) == {"hello": {"sentiment": "positive", "toxicity": "toxic"}}


def test_of_two_corrections_at_the_same_time_the_later_offset_wins() -> None:
    corrections = [
        correction(4, value("c", "hello", 0, toxicity="toxic")),
        correction(3, value("c", "hello", 0, toxicity="clean")),
    ]
    assert labels_by_text(opinions_of(corrections)) == {"hello": {"toxicity": "toxic"}}


def test_times_in_different_zones_are_compared_as_moments() -> None:
    example = json.loads(EXAMPLE) | {"comment_id": "c"}
    later = json.dumps(example | {"at": "2026-03-01T09:00:00-05:00", "labels": {"toxicity": "toxic"}}).encode()
    earlier = json.dumps(example | {"at": "2026-03-01T10:00:00+00:00", "labels": {"toxicity": "clean"}}).encode()
    assert labels_by_text(opinions_of([correction(0, later), correction(1, earlier)]))[example["text"]] == {
        "toxicity": "toxic"
    }


def test_a_label_stays_with_the_text_it_was_given_for_when_the_comment_was_edited() -> None:
    corrections = [
        correction(0, value("c", "before", 0, sentiment="negative", toxicity="toxic")),
        correction(1, value("c", "after", 1, toxicity="clean")),
    ]
    assert labels_by_text(opinions_of(corrections)) == {
        "after": {"toxicity": "clean"},
        "before": {"sentiment": "negative"},
    }


def test_equal_texts_of_different_comments_are_one_row() -> None:
    corrections = [
        correction(0, value("c-1", "spam", 0, toxicity="clean")),
        correction(1, value("c-2", "spam", 3, toxicity="clean", sentiment="neutral")),
        correction(2, value("c-1", "spam", 5, toxicity="toxic")),
    ]
    assert labels_by_text(opinions_of(corrections)) == {"spam": {"sentiment": "neutral", "toxicity": "toxic"}}
    assert label_counts(labels_by_text(opinions_of(corrections))) == {
        "sentiment": {"neutral": 1},
        "toxicity": {"toxic": 1},
    }


TEXTS = st.sampled_from(["one", "two"])
LABELS = st.fixed_dictionaries(
    {},
    optional={
        "sentiment": st.sampled_from(["negative", "neutral", "positive"]),
        "toxicity": st.sampled_from(["clean", "toxic"]),
    },
).filter(bool)
RECORDS = st.builds(
    lambda comment_id, text, at_s, moderator, labels: value(comment_id, text, at_s, moderator, **labels),
    st.sampled_from(["c-1", "c-2"]),
    TEXTS,
    st.integers(0, 1),
    st.sampled_from(["m-1", "m-2"]),
    LABELS,
)


@settings(deadline=None)
@given(partitions=st.lists(st.lists(RECORDS, min_size=1, max_size=3), min_size=2, max_size=3), data=st.data())
def test_the_order_of_delivery_between_partitions_does_not_matter(
    partitions: list[list[bytes]], data: st.DataObject
) -> None:
    in_order = [
        correction(offset, raw, partition)
        for partition, records in enumerate(partitions)
        for offset, raw in enumerate(records)
    ]
    delivered = data.draw(st.permutations(in_order))
    assert labels_by_text(opinions_of(delivered)) == labels_by_text(opinions_of(in_order))
    assert list(labels_by_text(opinions_of(delivered))) == list(labels_by_text(opinions_of(in_order))), (
        "the file's version depends on the order"
    )
    assert conflicting_comments(opinions_of(delivered)) == conflicting_comments(opinions_of(in_order))
    assert standing(opinions_of(delivered)) == standing(opinions_of(in_order))
    assert labels_by_text(opinions_of(standing(opinions_of(delivered)))) == labels_by_text(opinions_of(in_order))


def test_moderators_who_stand_by_different_labels_are_in_conflict() -> None:
    corrections = [
        correction(0, value("conflict", "a", 0, "m-1", toxicity="toxic")),
        correction(1, value("conflict", "a", 1, "m-2", toxicity="clean")),
        correction(2, value("changed-mind", "b", 0, "m-1", toxicity="toxic")),
        correction(3, value("changed-mind", "b", 1, "m-1", toxicity="clean")),
        correction(4, value("changed-mind", "b", 2, "m-2", toxicity="clean")),
        correction(5, value("other-group", "c", 0, "m-1", toxicity="clean")),
        correction(6, value("other-group", "c", 0, "m-2", sentiment="negative")),
        correction(7, value("edited", "d", 0, "m-1", toxicity="toxic")),
        correction(8, value("edited", "d2", 1, "m-2", toxicity="clean")),
    ]
    assert conflicting_comments(opinions_of(corrections)) == ["conflict"]


def test_a_made_up_comment_with_the_text_of_another_does_not_turn_its_label_unseen() -> None:
    corrections = [
        correction(0, value("real", "same words", 0, "m-1", toxicity="toxic")),
        correction(1, value("made-up", "same words", 1, "m-2", toxicity="clean")),
        correction(2, value("agreed", "other words", 0, "m-1", toxicity="toxic")),
        correction(3, value("agreed too", "other words", 1, "m-2", toxicity="toxic")),
    ]
    assert labels_by_text(opinions_of(corrections))["same words"] == {"toxicity": "clean"}
    assert conflicting_comments(opinions_of(corrections)) == ["made-up", "real"]


def test_ten_thousand_corrections_of_one_comment_leave_the_last_one() -> None:
    many = [correction(n, value("c", f"edited {n % 7}", n, "m-1", toxicity="toxic")) for n in range(10_000)]
    opinions = opinions_of(many)
    assert standing(opinions) == [many[-1]]
    assert labels_by_text(opinions) == {"edited 3": {"toxicity": "toxic"}}


def test_of_ever_new_moderators_of_one_comment_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MODERATORS_PER_LABEL", 3)
    many = [correction(n, value("c", "hello", n, f"m-{n}", toxicity="toxic")) for n in range(50)]
    assert standing(opinions_of(many)) == many[-3:] == standing(opinions_of(reversed(many)))


def test_a_correction_of_one_tag_group_leaves_the_other_one_of_an_earlier_correction_standing() -> None:
    both = correction(0, value("c", "hello", 0, sentiment="negative", toxicity="toxic"))
    later = correction(1, value("c", "hello", 1, toxicity="clean"))
    kept = standing(opinions_of([both, later]))
    assert kept == [both, later]
    assert [labels_of(entry) for entry in kept] == [
        {"sentiment": "negative", "toxicity": "toxic"},
        {"toxicity": "clean"},
    ]


def test_a_moderators_digest_cannot_be_followed_to_another_comment_or_guessed_without_the_key() -> None:
    first = correction(0, value("c-1", "a", 0, "m-1", toxicity="clean"))
    again = correction(1, value("c-1", "b", 9, "m-1", toxicity="toxic"))
    elsewhere = correction(2, value("c-2", "a", 0, "m-1", toxicity="clean"))
    other_key = entry_of(record(0, value("c-1", "a", 0, "m-1", toxicity="clean")), b"x" * 32, SENT_MS)
    assert isinstance(other_key, Correction)
    assert first.moderator == again.moderator
    assert len({first.moderator, elsewhere.moderator, other_key.moderator}) == 3


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "tombstone"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "value: Input should be an object"),
        (EXAMPLE.replace(b'"toxicity"', b'"toxicty"'), "labels.toxicty: Extra inputs are not permitted"),
        (EXAMPLE.replace(b"clean", b"fine"), "labels.toxicity: Input should be 'clean' or 'toxic'"),
        (EXAMPLE.replace(b"2026-03-01T10:02:11Z", b"yesterday"), "at: Input should be an RFC 3339 time"),
    ],
)
def test_a_record_that_breaks_the_contract_is_kept_raw_with_a_reason_that_quotes_no_value(
    raw: bytes | None, reason: str
) -> None:
    entry = entry_of(record(7, raw, partition=1), KEY, SENT_MS)
    assert isinstance(entry, Rejected)
    assert reason in entry.reason
    assert "Best recipe" not in entry.reason
    assert entry.position == ("feedback", 1, 7)
    assert (base64.b64decode(entry.value_base64) if entry.value_base64 is not None else None) == raw


@settings(deadline=None)
@given(raw=st.binary())
def test_any_bytes_become_an_entry(raw: bytes) -> None:
    assert isinstance(entry_of(record(0, raw), KEY, SENT_MS), Rejected)


@settings(deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip()),
    at=st.datetimes(timezones=st.timezones().map(lambda _: timezone(timedelta(minutes=90))) | st.just(UTC)),
)
def test_a_correction_comes_back_from_its_journal_line_unchanged(text: str, at: datetime) -> None:
    entry = Correction(
        topic="t", partition=0, offset=1, comment_id="c", text=text, labels=CorrectedLabels(toxicity="toxic"), at=at,
        moderator="00",
    )  # fmt: skip
    line = entry.model_dump_json(exclude_none=True)
    assert "\n" not in line
    assert Correction.model_validate_json(line) == entry
