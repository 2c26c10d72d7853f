"""Keeping corrections on disk, and reading them back to train on."""

import json
import stat
from collections import Counter
from pathlib import Path

import pytest

from consumer.training.data import Row
from consumer.training.errors import TrainingError
from consumer.training.feedback import read_feedback, replay_mix
from consumer.training.feedback_journal import EVENTS, MODERATOR_KEY, PROGRESS, REJECTED, REPORT, ROWS, open_journal
from schemas.feedback import EXAMPLE_FEEDBACK
from tests.corrections import EXAMPLE, record, value


def test_reading_again_changes_nothing_and_private_fields_are_nowhere_on_disk(tmp_path: Path) -> None:
    private = json.dumps(EXAMPLE_FEEDBACK | {"moderator_id": "jane.doe", "ip": "203.0.113.9"}).encode()
    records = [record(0, private), record(0, b"{}", partition=1), record(1, None, partition=1)]
    directory = tmp_path / "new" / "dataset"
    with open_journal(directory) as journal:
        first = journal.add(records)
        journal.write_dataset()
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with open_journal(directory) as journal:
        again = journal.add(records)
        assert journal.last_offsets("feedback") == {0: 0, 1: 1}
        journal.write_dataset()
    assert (first.accepted, len(first.rejected), first.known) == (1, 2, 0)
    assert (again.accepted, len(again.rejected), again.known) == (0, 0, 3)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert set(before) == {EVENTS, REJECTED, PROGRESS, MODERATOR_KEY, ROWS, REPORT}
    assert not any(b"jane.doe" in content or b"203.0.113.9" in content for content in before.values())
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    event = json.loads(before[EVENTS])
    assert event.keys() == {
        "topic", "partition", "offset", "comment_id", "text", "labels", "at", "moderator", "sealed",
    }  # fmt: skip


def test_a_line_that_a_crash_cut_short_is_read_again_from_the_topic(tmp_path: Path) -> None:
    records = [record(n, value(f"c-{n}", f"text {n}", n, toxicity="clean")) for n in range(3)]
    with open_journal(tmp_path) as journal:
        journal.add(records)
    whole = (tmp_path / EVENTS).read_bytes()
    (tmp_path / EVENTS).write_bytes(whole[:-10])
    with open_journal(tmp_path) as journal:
        assert journal.last_offsets("feedback") == {0: 1}
        assert journal.add(records).accepted == 1
    assert (tmp_path / EVENTS).read_bytes() == whole


def test_corrections_that_a_crash_kept_out_are_read_again_though_a_later_record_was_rejected_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill falls between the two journals of one batch."""
    records = [record(0, value("c-1", "a", 1, toxicity="clean")), record(1, b"broken")]
    with open_journal(tmp_path) as journal:
        monkeypatch.setattr(journal, "_directory", tmp_path / "gone")
        (tmp_path / "gone").mkdir()
        (tmp_path / "gone" / EVENTS).mkdir()  # cannot be appended to
        with pytest.raises(TrainingError):
            journal.add(records)
    (tmp_path / "gone" / REJECTED).rename(tmp_path / REJECTED)
    with open_journal(tmp_path) as journal:
        assert journal.last_offsets("feedback") == {}
        added = journal.add(records)
    assert (added.accepted, added.known) == (1, 1)


def test_the_version_is_that_of_the_rows_wherever_and_whenever_they_came(tmp_path: Path) -> None:
    versions = []
    for name, partition, texts in (("a", 0, ["x", "y"]), ("b", 1, ["y", "x"]), ("c", 0, ["x", "z"])):
        with open_journal(tmp_path / name) as journal:
            journal.add(record(n, value(text, text, 0, toxicity="toxic"), partition) for n, text in enumerate(texts))
            versions.append(journal.write_dataset()["version"])
    assert versions[0] == versions[1] != versions[2]


def test_a_topic_that_was_created_anew_is_noticed_instead_of_skipped(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.add([record(0, value("c", "old", 0, toxicity="toxic"))])
        with pytest.raises(TrainingError, match="partition 0, offset 0: the topic was created anew"):
            journal.add([record(0, value("c", "new", 0, toxicity="toxic"))])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("notes.txt", b"mine", "is not empty and no feedback dataset; name a new directory"),
        (EVENTS, b'{"topic": "t"}\n', rf"{EVENTS}:1 is not as"),
        (EVENTS, b"\xff\n", rf"{EVENTS}:1 is not as"),
        (EVENTS, b"the events of somebody else", rf"{EVENTS}:1 is not as"),
    ],
)
def test_a_directory_that_holds_something_else_is_left_alone(
    tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(TrainingError, match=message), open_journal(tmp_path):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {file: content}


def test_a_dataset_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path),
        pytest.raises(TrainingError, match="written by another"),
        open_journal(tmp_path),
    ):
        pass


def test_a_lost_key_is_refused_because_one_moderator_would_look_like_two(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.add([record(0, EXAMPLE)])
    (tmp_path / MODERATOR_KEY).unlink()
    with pytest.raises(TrainingError, match=rf"{MODERATOR_KEY} is missing"), open_journal(tmp_path):
        pass


def test_a_file_in_the_directorys_place_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be used"), open_journal(tmp_path / "file"):
        pass


def test_the_rows_are_read_back_to_train_on(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.add(
            [
                record(0, EXAMPLE),
                record(1, value("c", "line\u2028one\nline two", 0, toxicity="toxic", sentiment="negative")),
            ]
        )
        journal.write_dataset()
    assert read_feedback(tmp_path) == [
        Row(str(EXAMPLE_FEEDBACK["text"]), {"toxicity": "clean"}, "feedback"),
        Row("line\u2028one\nline two", {"sentiment": "negative", "toxicity": "toxic"}, "feedback"),
    ]


def test_what_is_no_dataset_or_an_empty_or_a_changed_one_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is no feedback dataset; write one with"):
        read_feedback(tmp_path / "nowhere")
    with open_journal(tmp_path) as journal:
        journal.write_dataset()
    with pytest.raises(TrainingError, match="holds no corrections to train on yet"):
        read_feedback(tmp_path)
    (tmp_path / ROWS).write_text('{"text": "a", "toxicity": "toxic"}\n')
    with pytest.raises(TrainingError, match=r"is not the version that report\.json names"):
        read_feedback(tmp_path)
    (tmp_path / REPORT).write_text("[]")
    with pytest.raises(TrainingError, match=r"is not the version that report\.json names"):
        read_feedback(tmp_path)


OLD = [
    Row(f"{source} {label} {n}", {group: label}, source)
    for source, group, label, count in [
        ("tweets", "sentiment", "positive", 600),
        ("tweets", "sentiment", "negative", 300),
        ("posts", "toxicity", "toxic", 99),
        ("rare", "toxicity", "clean", 1),
    ]
    for n in range(count)
]


def test_the_replay_mix_holds_all_feedback_and_the_old_rows_in_their_shares() -> None:
    feedback = [Row(f"corrected {n}", {"toxicity": "clean"}, "feedback") for n in range(25)]
    mix = replay_mix(feedback, OLD, seed=1)
    assert mix[:25] == feedback
    shares = Counter((row.source, *row.labels.values()) for row in mix[25:])
    assert sum(shares.values()) == 100
    assert len(set(map(str, mix))) == 125, "no row comes twice"
    assert shares["rare", "clean"] == 1, "a small stratum is not left out"
    assert abs(shares["tweets", "positive"] - 60) <= 1
    assert abs(shares["tweets", "negative"] - 30) <= 1
    assert abs(shares["posts", "toxic"] - 10) <= 1


def test_the_replay_mix_depends_on_its_seed_alone() -> None:
    feedback = [Row("corrected", {"toxicity": "clean"}, "feedback")] * 5
    assert replay_mix(feedback, OLD, seed=1) == replay_mix(feedback, OLD, seed=1)
    assert replay_mix(feedback, OLD, seed=1) != replay_mix(feedback, OLD, seed=2)


def test_the_replay_mix_never_teaches_what_was_corrected_and_takes_all_when_there_are_few() -> None:
    feedback = [Row("Tweets Positive 0", {"sentiment": "negative"}, "feedback")]
    mix = replay_mix(feedback, OLD, old_per_feedback=5_000, seed=1)
    assert len(mix) == len(OLD)
    assert "tweets positive 0" not in {row.text for row in mix}
