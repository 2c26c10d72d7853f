"""The feedback dataset under hostile records, an earlier version's faults, kills, full disks and wrong clocks."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.training import feedback_journal
from consumer.training.errors import TrainingError
from consumer.training.feedback import read_feedback
from consumer.training.feedback_journal import EVENTS, MODERATOR_KEY, PROGRESS, REJECTED, REPORT, open_journal
from tests.corrections import EXAMPLE, SENT_MS, record, value
from tests.waiting import wait_until

OF_THE_EARLIER_VERSION = {
    EVENTS: b"""\
{"topic":"feedback","partition":0,"offset":0,"comment_id":"c-1","text":"pinned","labels":{"toxicity":"toxic"},\
"at":"9999-12-31T23:59:59Z","moderator":"b9cf4ee0147af884"}
{"topic":"feedback","partition":0,"offset":1,"comment_id":"c-1","text":"pinned","labels":{"toxicity":"clean"},\
"at":"2026-03-01T10:00:00Z","moderator":"b54a69b2a8769706"}
{"topic":"feedback","partition":0,"offset":2,"comment_id":"c-2","text":"fine","labels":{"sentiment":"neutral",\
"toxicity":"clean"},"at":"2026-03-01T10:00:01Z","moderator":"e4592a69c63b41c9"}
{"topic":"feedback","partition":0,"offset":3,"comment_id":"c-3","text":"pinned too","labels":{"toxicity":"toxic"},\
"at":"9999-12-31T23:59:59-23:59","moderator":"74f8e3726ac833d4"}
""",
    REJECTED: b"""\
{"topic":"feedback","partition":1,"offset":0,"reason":"comment_id: Field required","value_base64":"e30="}
""",
    MODERATOR_KEY: bytes.fromhex("2213fd972fb7684d3a2bf998c2d10909876f9ffe68df13c4d9ddc2a24023d7fb"),
}
"""Written by the version before, to which m-1 said that c-1 is toxic, in the year 9999, and m-2 that it is clean."""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    for name, content in OF_THE_EARLIER_VERSION.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def rows(directory: Path) -> dict[str, dict[str, str]]:
    return {row.text: row.labels for row in read_feedback(directory)}


def test_labels_that_an_earlier_version_pinned_for_ever_are_let_go(earlier: Path) -> None:
    for _ in range(2):
        with open_journal(earlier) as journal:
            journal.write_dataset()
        assert rows(earlier) == {"pinned": {"toxicity": "clean"}, "fine": {"sentiment": "neutral", "toxicity": "clean"}}
        rejected = [json.loads(line) for line in (earlier / REJECTED).read_text().splitlines()]
        assert [(entry["partition"], entry["offset"]) for entry in rejected] == [(1, 0), (0, 0), (0, 3)]
    assert json.loads(base64.b64decode(rejected[1]["value_base64"]))["text"] == "pinned"
    assert "lies in the future" in rejected[1]["reason"]


def test_a_journal_of_the_earlier_version_is_read_on_where_it_ended(earlier: Path) -> None:
    records = [
        record(3, b"whatever it was"),
        record(4, value("c-3", "pinned too", 9, "m-2", toxicity="clean")),
        record(5, value("c-1", "pinned", 9, "m-2", toxicity="toxic")),
        record(0, b"{}", partition=1),
        record(1, EXAMPLE, partition=1),
    ]
    with open_journal(earlier) as journal:
        assert journal.last_offsets("feedback") == {0: 3}
        added = journal.add(records)
        report = journal.write_dataset()
    assert (added.accepted, len(added.rejected), added.known) == (3, 0, 2)
    assert rows(earlier)["pinned too"] == {"toxicity": "clean"}
    assert rows(earlier)["pinned"] == {"toxicity": "clean"}, "m-2 said so later"
    assert report["rejected"] == 3
    with open_journal(earlier) as journal:
        assert journal.last_offsets("feedback") == {0: 5, 1: 1}
        assert journal.add(records).known == 5


def test_a_moderator_of_the_earlier_version_is_still_the_same_on_a_comment(earlier: Path) -> None:
    with open_journal(earlier) as journal:
        journal.add([record(4, value("c-2", "fine", 50_000, "m-1", toxicity="toxic"))])
        assert journal.write_dataset()["conflicts"] == 0
    with open_journal(earlier) as journal:
        journal.add([record(5, value("c-2", "fine", 50_000, "m-2", toxicity="clean"))])
        assert journal.write_dataset()["conflicting_comment_ids"] == ["c-2"]


def test_a_clock_that_lost_its_time_is_no_reason_to_throw_corrections_away(earlier: Path) -> None:
    with pytest.raises(TrainingError, match="set the clock"), open_journal(earlier, now_ms=lambda: 0):
        pass
    assert (earlier / EVENTS).read_bytes() == OF_THE_EARLIER_VERSION[EVENTS]


def test_thousands_of_corrections_of_one_comment_cost_as_much_as_the_last(tmp_path: Path) -> None:
    raw = [value("c", "hello" * 100, second, "m-1", toxicity="toxic") for second in range(10_000)]
    sizes = []
    with open_journal(tmp_path) as journal:
        journal.add([record(0, value("other", "other", 0, toxicity="clean"))])
        for start in range(0, len(raw), 1_000):
            journal.add(record(1 + start + n, one) for n, one in enumerate(raw[start : start + 1_000]))
            sizes.append((tmp_path / EVENTS).stat().st_size)
        report = journal.write_dataset()
    a_line = len(raw[0]) + 200
    assert max(sizes) < 3_000 * a_line, "2,000 lines, where 10,000 were accepted"
    assert (report["corrections"], report["comments"], report["rows"]) == (2, 2, 2)
    with open_journal(tmp_path) as journal:
        assert journal.last_offsets("feedback") == {0: 10_000}
        again = journal.add([record(10_000, raw[-1])])
        assert (again.known, journal.write_dataset()) == (1, report)


def test_records_that_are_rejected_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_journal, "MAX_REJECTED_BYTES", 100_000)
    with open_journal(tmp_path) as journal:
        for offset in range(100):
            journal.add([record(offset, b"x" * 9_000)])
            assert (tmp_path / REJECTED).stat().st_size <= 100_000
        assert journal.write_dataset()["rejected"] == 100
    kept = [json.loads(line)["offset"] for line in (tmp_path / REJECTED).read_text().splitlines()]
    assert 4 <= len(kept) <= 8
    assert kept == list(range(100 - len(kept), 100)), "the latest are kept"
    with open_journal(tmp_path) as journal:
        assert journal.write_dataset()["rejected"] == 100


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"offsets": {"feedback": {"0": {"offset": "x"}}}}'])
def test_a_damaged_progress_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    with open_journal(tmp_path) as journal:
        journal.add([record(0, EXAMPLE)])
    (tmp_path / PROGRESS).write_bytes(content)
    with pytest.raises(TrainingError, match=rf"{PROGRESS}:1 is not as"), open_journal(tmp_path):
        pass


def test_zeros_that_a_power_cut_left_at_the_end_are_a_line_cut_short(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.add([record(0, EXAMPLE)])
    whole = (tmp_path / EVENTS).read_bytes()
    for tail in (b"\0" * 700, b'{"topic":"feed\0\0\0'):
        (tmp_path / EVENTS).write_bytes(whole + tail)
        with open_journal(tmp_path) as journal:
            assert journal.last_offsets("feedback") == {0: 0}
        assert (tmp_path / EVENTS).read_bytes() == whole


def test_a_place_that_cannot_be_written_is_said_in_a_sentence() -> None:
    with pytest.raises(TrainingError, match="cannot be used"), open_journal(Path("/proc/corrections")):
        pass


WRITER = """
import resource, sys
from pathlib import Path
from consumer.training.errors import TrainingError
from consumer.training.feedback_journal import open_journal
from tests.corrections import record, value

most_bytes = int(sys.argv[2])
if most_bytes:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
with open_journal(Path(sys.argv[1])) as journal:
    start = journal.last_offsets("feedback").get(0, -1) + 1
    try:
        for first in range(start, 1_500, 20):
            journal.add(
                record(n, value(f"c-{n}", f"text {n}", n, toxicity="toxic") if n % 3 else b"broken")
                for n in range(first, min(first + 20, 1_500))
            )
            print(first, flush=True)
        journal.write_dataset()
    except TrainingError as error:
        sys.exit(str(error))
"""


def writer(directory: Path, most_bytes: int = 0) -> subprocess.Popen[str]:
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", WRITER, str(directory), str(most_bytes)]
    return subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def require_every_record_once(directory: Path) -> None:
    events = [json.loads(line)["offset"] for line in (directory / EVENTS).read_text().splitlines()]
    rejected = [json.loads(line)["offset"] for line in (directory / REJECTED).read_text().splitlines()]
    assert sorted(events) == [n for n in range(1_500) if n % 3]
    assert sorted(rejected) == [n for n in range(1_500) if not n % 3]
    assert len(read_feedback(directory)) == 1_000


def test_a_collector_that_is_killed_again_and_again_keeps_every_record_once(tmp_path: Path) -> None:
    directory = tmp_path / "dataset"
    for enough in (3_000, 60_000, 120_000):
        process = writer(directory)
        events = directory / EVENTS
        wait_until(lambda: events.exists() and events.stat().st_size > enough, timeout_s=60)  # noqa: B023
        process.kill()
        process.communicate(timeout=60)
    process = writer(directory)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    require_every_record_once(directory)


def test_a_disk_that_fills_up_is_said_in_a_sentence_and_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    directory = tmp_path / "dataset"
    for most_bytes in (10_007, 55_555, 111_111):
        process = writer(directory, most_bytes)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        assert f"{directory / EVENTS} cannot be written: File too large; mend that" in errors
        assert "Traceback" not in errors
        with open_journal(directory) as journal:
            journal.write_dataset()
    assert writer(directory).wait(120) == 0
    require_every_record_once(directory)


def test_the_report_counts_at_the_moderators_and_names_none(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.add(
            record(n, value(f"c-{n}", f"text {n}", n, "jane.doe" if n < 90 else f"m-{n}", toxicity="toxic"))
            for n in range(120)
        )
        report = journal.write_dataset()
    shares = report["moderator_shares"]
    assert isinstance(shares, list)
    assert (report["moderators"], len(shares)) == (31, 31)
    assert (shares[0]["corrections"], shares[0]["labels"], shares[0]["share"]) == (90, 90, 0.75)
    assert report["warnings"] == [
        f"moderator {shares[0]['moderator']} gave 75% of the 120 labels: the model would learn one person's judgement"
    ]
    events = (tmp_path / EVENTS).read_text()
    assert not any(share["moderator"] in events for share in shares)
    assert not any(b"jane.doe" in path.read_bytes() for path in tmp_path.iterdir())
    assert json.loads((tmp_path / REPORT).read_text()) == report


def test_what_a_moderator_says_twice_after_a_restart_is_counted_once(tmp_path: Path) -> None:
    for run in range(3):
        with open_journal(tmp_path) as journal:
            journal.add([record(run, value("c-1", "text", run, "m-1", toxicity="toxic"))])
            report = journal.write_dataset()
    shares = report["moderator_shares"]
    assert isinstance(shares, list)
    assert [(share["corrections"], share["labels"]) for share in shares] == [(1, 1)]


def test_a_record_without_a_time_counts_as_made_when_it_was_collected(tmp_path: Path) -> None:
    raw = json.loads(value("c", "hello", 0, toxicity="toxic")) | {"at": "2026-03-02T00:01:00Z"}
    with open_journal(tmp_path, now_ms=lambda: SENT_MS) as journal:
        added = journal.add([record(0, json.dumps(raw).encode(), timestamp_ms=None)])
    assert added.accepted == 1
    assert json.loads((tmp_path / EVENTS).read_text())["at"] == "2026-03-02T00:00:00Z"
