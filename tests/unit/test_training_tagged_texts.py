"""Which corrected texts came out of the stream."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.training.corrections import Correction
from consumer.training.errors import TrainingError
from consumer.training.feedback import read_feedback
from consumer.training.feedback_journal import Journal, open_journal
from consumer.training.feedback_record import entry_of
from consumer.training.tagged_texts import TAGGED, TaggedTexts
from schemas.comment import MAX_TEXT_CHARACTERS
from schemas.tagged import EXAMPLE_TAGGED
from tests.chaos.strategies import json_values
from tests.corrections import SENT_MS, record, value

KEY = b"k" * 32


def correction(comment_id: str, text: str, offset: int = 0) -> Correction:
    entry = entry_of(record(offset, value(comment_id, text, 0, toxicity="toxic")), KEY, SENT_MS)
    assert isinstance(entry, Correction)
    return entry


def tagged(comment_id: str, text: str | None) -> bytes:
    comment = {"id": comment_id} | ({} if text is None else {"text": text})
    return json.dumps(EXAMPLE_TAGGED | {"comment": comment}).encode()


def looking_for(*corrections: Correction) -> TaggedTexts:
    comparison = TaggedTexts((), KEY)
    comparison.look_for(corrections)
    return comparison


def test_a_text_is_found_with_its_comment_only() -> None:
    asked = [correction("c-1", "hello"), correction("c-1", "edited"), correction("c-2", "hello")]
    comparison = looking_for(*asked)
    for event in (tagged("c-1", "hello"), tagged("c-2", "other words"), tagged("c-3", "hello"), tagged("c-1", "Hello")):
        comparison.compare(event)
    assert [comparison.holds(one) for one in asked] == [True, False, False]
    assert not comparison.is_complete
    comparison.compare(tagged("c-2", " hello\n"))
    comparison.compare(tagged("c-1", "edited"))
    assert comparison.is_complete


def test_a_result_without_its_text_speaks_for_every_text_of_its_comment() -> None:
    asked = [correction("c-1", "hello"), correction("c-1", "edited"), correction("c-2", "hello")]
    comparison = looking_for(*asked)
    comparison.compare(tagged("c-1", None))
    assert [comparison.holds(one) for one in asked] == [True, True, False]


def test_a_text_that_the_stream_cut_is_found_whether_it_comes_back_whole_or_cut() -> None:
    long = "word " * MAX_TEXT_CHARACTERS
    for sent_back in (long, long[:MAX_TEXT_CHARACTERS], f"  {long}"):
        asked = correction("c-1", sent_back)
        comparison = looking_for(asked)
        comparison.compare(tagged("c-1", long))
        assert comparison.holds(asked)


def test_a_separator_in_an_id_or_a_text_makes_no_two_comments_one() -> None:
    tagged_one, other = correction("c\x001", "x"), correction("c", "1\0x")
    comparison = looking_for(tagged_one, other)
    comparison.compare(tagged("c\x001", "x"))
    assert (comparison.holds(tagged_one), comparison.holds(other)) == (True, False)


@given(st.one_of(st.none(), st.binary(), json_values.map(json.dumps).map(str.encode),
                 json_values.map(lambda comment: json.dumps({"comment": comment}).encode())))  # fmt: skip
def test_what_is_no_tagged_comment_says_nothing(raw: bytes | None) -> None:
    asked = correction("c-1", "hello")
    comparison = looking_for(asked)
    comparison.compare(raw)
    assert not comparison.holds(asked)


def collected(directory: Path, **texts: str) -> None:
    with open_journal(directory) as journal:
        start = journal.last_offsets("feedback").get(0, -1) + 1
        journal.add(
            record(start + n, value(comment_id, text, 0, toxicity="toxic"))
            for n, (comment_id, text) in enumerate(texts.items())
        )
        journal.write_dataset()


def compared(journal: Journal, *events: bytes) -> dict[str, object]:
    comparison = journal.comparison()
    for event in events:
        comparison.compare(event)
    journal.keep(comparison)
    return journal.write_dataset()


def test_texts_that_were_never_tagged_train_nothing_once_they_were_compared(tmp_path: Path) -> None:
    collected(tmp_path, real="hello", invented="any words", other_text="mine")
    assert len(read_feedback(tmp_path)) == 3
    with open_journal(tmp_path) as journal:
        report = compared(journal, tagged("real", "hello"), tagged("other_text", "yours"))
    assert [row.text for row in read_feedback(tmp_path)] == ["hello"]
    assert (report["never_tagged"], report["corrections"], report["comments"]) == (2, 1, 1)
    assert report["never_tagged_comment_ids"] == ["invented", "other_text"]


def test_what_was_found_once_stays_found_and_what_comes_later_waits_for_the_next_comparison(tmp_path: Path) -> None:
    collected(tmp_path, real="hello")
    with open_journal(tmp_path) as journal:
        compared(journal, tagged("real", "hello"))
    collected(tmp_path, late="late words")
    assert [row.text for row in read_feedback(tmp_path)] == ["hello"]
    with open_journal(tmp_path) as journal:
        report = compared(journal, tagged("late", "late words"))  # the retention has removed the first result
    assert [row.text for row in read_feedback(tmp_path)] == ["hello", "late words"]
    assert report["never_tagged"] == 0
    assert not any(word in (tmp_path / TAGGED).read_text() for word in ("real", "hello"))


def test_a_correction_of_words_nobody_wrote_does_not_hide_the_one_before(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.add(
            [
                record(0, value("c-1", "hello", 0, "m-1", toxicity="toxic")),
                record(1, value("c-1", "words nobody wrote", 1, "m-2", toxicity="clean")),
            ]
        )
        compared(journal, tagged("c-1", "hello"))
    assert [row.text for row in read_feedback(tmp_path)] == ["hello"]


def test_a_damaged_memory_of_comparisons_is_refused_in_a_sentence(tmp_path: Path) -> None:
    collected(tmp_path, real="hello")
    (tmp_path / TAGGED).write_bytes(b"00ff\nxyz\n")
    with pytest.raises(TrainingError, match=rf"{TAGGED}:2 is not as"), open_journal(tmp_path):
        pass
