"""Whatever a comment, a file, a label, a broker or a model says, the terminal is told words and nothing it obeys."""

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
import structlog
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from consumer.batch import Record
from consumer.cli import app
from consumer.errors import ReaderError
from consumer.reprocess import Outcomes
from consumer.settings_parsing import load_settings
from consumer.telemetry.logs import set_up_logs
from consumer.terminal.dead_letter_show import _about, _headers, show_dead_letter, value_lines
from consumer.terminal.errors import readable_errors
from consumer.terminal.feedback_tables import show_dataset
from consumer.terminal.ledger import Ledger
from consumer.terminal.printing import SafeConsole, progress_bar, say, tell
from consumer.terminal.reprocess import _show as show_reprocessed
from consumer.terminal.screens import LiveScreen, summary
from consumer.terminal.text import json_line, printable, printable_json
from consumer.terminal.watch import _show as show_watched
from schemas import TaggedComment
from tests.tiny_models import save_tagger

HOSTILE = "[/] [red] \x1b[2J\x1b]0;title\x07\x9b31m\r\x08\x7f\u202eback\u2066\u200f\x00 | `x` <b> & :poop:"
ROOT = Path(__file__).parents[2]


def assert_harmless(output: str, *, mentions: str = "back") -> None:
    wrong = {character for character in output if not character.isprintable() and character != "\n"}
    assert not wrong, f"{wrong} in {output!r}"
    assert mentions in output


EVENT = {
    "event_id": "1",
    "schema_version": "1.0",
    "comment": {"id": HOSTILE, "text": HOSTILE},
    "tags": {HOSTILE: {"label": HOSTILE, "score": 0.9, "scores": {HOSTILE: 0.9}}},
    "decision": {"action": "allow", "rule": HOSTILE, "reason": HOSTILE},
    "truncated": False,
    "model": {"name": HOSTILE, "version": "1"},
    "policy": {"version": "1"},
    "source": {"topic": "comments", "partition": 0, "offset": 1, "timestamp": None},
    "answered_by": "model",
    "processed_at": datetime(2026, 3, 1, tzinfo=UTC).isoformat(),
}
RECORD = Record(
    "comments.dead-letter",
    0,
    7,
    1,
    HOSTILE.encode(),
    HOSTILE.encode(),
    [
        ("dlq.reason", b"not-json"),
        ("dlq.detail", HOSTILE.encode()),
        ("dlq.topic", HOSTILE.encode()),
        ("dlq.partition", b"0"),
        ("dlq.offset", b"1"),
        ("dlq.version", b"1"),
        (HOSTILE, HOSTILE.encode()),
    ],
)


def shown_event() -> None:
    event = TaggedComment.model_validate_json(json.dumps(EVENT))
    console = SafeConsole()
    with LiveScreen(console, None, by_bytes=False) as screen:
        screen.status(HOSTILE)
        screen.tagged(event)
        screen.dead_letter(HOSTILE.encode(), "not-json")
    ledger = Ledger()
    ledger.dead_letters[HOSTILE] += 1
    ledger.actions["allow"] += 1
    console.print(summary(ledger, 1.0))


def shown_dead_letter() -> None:
    for label, text in [*_about(RECORD), *_headers(RECORD, full=True)]:
        SafeConsole().print(Text.assemble((label, "bold"), text))
    for line in value_lines(RECORD.value, full=True):
        SafeConsole().print(Text(line))


def shown_feedback() -> None:
    report = {
        "corrections": 1,
        "comments": 1,
        "moderators": 1,
        "moderator_shares": [{"moderator": HOSTILE, "share": 1.0}],
        "rows": 1,
        "labels": {HOSTILE: {HOSTILE: 1}},
        "conflicts": 1,
        "conflicting_comment_ids": [HOSTILE],
        "compared_with_results": True,
        "never_tagged": 1,
        "never_tagged_comment_ids": [HOSTILE],
        "version": HOSTILE,
        "warnings": [HOSTILE],
    }
    show_dataset(report, accepted=1, rejected=1, known=1)


def shown_log() -> None:
    set_up_logs("warning", "console")
    structlog.get_logger("x").warning("broker_said", error=HOSTILE + "\nforged_line level=info")
    logging.getLogger("librdkafka").warning(HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger("x").exception("failed")


def shown_error() -> None:
    with pytest.raises(BaseException), readable_errors():  # noqa: B017, PT011 - typer's exit
        raise ReaderError(HOSTILE)


def shown_markup() -> None:
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    SafeConsole().print(HOSTILE, table)
    with progress_bar(HOSTILE) as show:
        show(1, 2)


@pytest.mark.parametrize(
    "command",
    [
        shown_event,
        shown_dead_letter,
        shown_feedback,
        shown_log,
        shown_error,
        shown_markup,
        lambda: say(HOSTILE),
        lambda: tell(HOSTILE),
        lambda: show_watched(json.dumps(EVENT, ensure_ascii=False).encode(), SafeConsole(), as_json=False),
        lambda: show_watched(json.dumps(EVENT, ensure_ascii=False).encode(), SafeConsole(), as_json=True),
        lambda: show_watched(f"not json {HOSTILE}\xff".encode("latin-1", "replace"), SafeConsole(), as_json=True),
        lambda: show_reprocessed(load_settings(results_topic="back"), Outcomes(), HOSTILE, HOSTILE),
    ],
)
def test_what_a_command_shows_holds_nothing_that_a_terminal_obeys(
    command: Callable[[], None], capsys: pytest.CaptureFixture[str], empty_directory: Path
) -> None:
    command()
    told = capsys.readouterr()
    assert_harmless(told.out + told.err, mentions="" if command is shown_event else "back")
    assert "\nforged_line" not in told.err


def test_on_a_terminal_with_colours_only_the_consoles_own_codes_come_out() -> None:
    file = StringIO()
    console = SafeConsole(file=file, force_terminal=True, color_system="truecolor", width=200)
    console.print(Text(HOSTILE, "bold red"))
    assert_harmless(re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()))
    assert file.getvalue().count("\x1b[") == 2


def test_json_for_a_terminal_is_the_same_json() -> None:
    assert json.loads(json_line(EVENT)) == EVENT
    pretty = json.dumps(EVENT, ensure_ascii=False, indent=1)
    assert json.loads(printable_json(pretty)) == EVENT
    assert_harmless(json_line(EVENT) + printable_json(pretty))
    assert json_line("día 😀 日本") == '"día 😀 日本"'
    assert printable("día 😀 日本") == "día 😀 日本"


def test_raw_bytes_are_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch, empty_directory: Path) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(ReaderError, match="--raw writes bytes that a terminal may obey"):
        show_dead_letter(load_settings(), RECORD, raw=True, full=False, stopping=lambda: False)  # type: ignore[arg-type]


def test_no_command_has_a_console_of_another_kind() -> None:
    for path in (ROOT / "consumer").rglob("*.py"):
        if path.name != "printing.py":
            assert not re.search(r"(?<!Safe)\bConsole\(", path.read_text(encoding="utf-8")), path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "a_\x1b[31m[red]_|`"
    folder.mkdir()
    records = [
        {
            "text": f"word{number} is {HOSTILE}",
            "toxicity": ("toxic", "clean")[number % 2],
            "source": HOSTILE,
            "language": HOSTILE,
        }
        for number in range(60)
    ]
    records += [{"text": f"one more {number} of them", "toxicity": "clean", "source": "s"} for number in range(30)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_preparation_shows_hostile_sources_languages_and_file_names_as_words(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out\x1b[2J"
    result = CliRunner().invoke(
        app, ["train", "prepare", str(rows), "--output", str(output), "--dev-share", "0.2", "--test-share", "0"]
    )
    assert result.exit_code == 0, result.output
    assert_harmless(result.output)
    assert_harmless((output / "report.md").read_text())
    assert_harmless((output / "report.json").read_text())


def test_evaluation_shows_hostile_sources_labels_and_names_as_words(rows: Path, tmp_path: Path) -> None:
    labels = ["clean", r"[/] back [red] <b> $\frac$"]  # control characters are refused at loading
    model = save_tagger(tmp_path / "m\x1b[2J[red]", {"toxicity": {"labels": labels, "activation": "softmax"}})
    report = tmp_path / "report"
    result = CliRunner().invoke(
        app, ["train", "evaluate", str(model), "--data", str(rows), "--report", str(report), "--quick"]
    )
    assert result.exit_code == 0, result.output
    assert_harmless(result.output)
    html = (report / "report.html").read_text()
    assert "&lt;b&gt;" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


@pytest.mark.parametrize("content", [b"id,\x1b[2Jback\n1,a\n", b"id,text,\x1b[2Jback,\x1b[2Jback\n1,a,b,c\n"])
def test_an_error_about_a_file_shows_its_names_as_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x\x1b[2J[red].csv"
    path.write_bytes(content)
    for command in (["demo", "--input"], ["train", "prepare", "--output", str(tmp_path / "out")]):
        result = CliRunner().invoke(app, [*command, str(path)])
        assert result.exit_code != 0
        assert_harmless(result.output)


def test_a_plain_console_would_have_let_it_through(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print(Text("\x1b[2J"))
    assert "\x1b[2J" in capsys.readouterr().out
