"""What `moderate feedback collect` shows: nothing in a record reaches the terminal as it came."""

import json
from pathlib import Path

import pytest

from consumer.terminal.feedback import Outcome, _show
from consumer.training.feedback_journal import open_journal
from tests.corrections import EXAMPLE, record, value

ESCAPES = "\x1b]0;owned\x07\x1b[31m\u202e[red]"


def shown(directory: Path, capsys: pytest.CaptureFixture[str], *values: bytes, compare: bool = False) -> str:
    outcome = Outcome()
    with open_journal(directory) as journal:
        outcome.count(journal.add(record(n, raw) for n, raw in enumerate(values)))
        if compare:
            journal.keep(journal.comparison())
        report = journal.write_dataset()
    _show(directory, outcome, report)
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("compare", [False, True])
def test_escape_sequences_in_a_record_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compare: bool
) -> None:
    screen = shown(
        tmp_path,
        capsys,
        value(ESCAPES, ESCAPES, 0, ESCAPES, toxicity="toxic"),
        value(ESCAPES, ESCAPES, 0, f"{ESCAPES}2", toxicity="clean"),
        json.dumps(json.loads(EXAMPLE) | {"labels": {ESCAPES: "x"}}).encode(),
        compare=compare,
    )
    assert not any(character in screen for character in "\x1b\x07\u202e")
    assert "·]0;owned··[31m·[red]" in screen


def test_what_was_not_compared_and_what_was_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not compared; --against-results does" in shown(tmp_path, capsys, EXAMPLE)
    screen = shown(tmp_path, capsys, compare=True)
    assert "1 (c-1042)" in screen
    assert "warning: 1 correction left out, of texts that are not among the results" in screen
    assert "next:" not in screen


def test_shares_and_warnings_are_shown_by_pseudonym(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [value(f"c-{n}", f"text {n}", 0, "jane" if n % 10 else "john", toxicity="toxic") for n in range(200)]
    screen = shown(tmp_path, capsys, *values)
    assert " 90%, " in screen
    assert "warning: moderator " in screen
    assert "gave 90% of the 200 labels" in screen
    assert "jane" not in screen
    assert "john" not in screen
