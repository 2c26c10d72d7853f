"""`moderate train prepare` as a person types it, and what it refuses."""

import gzip
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from consumer.training.commands.prepare import prepare as prepare_command
from consumer.training.errors import TrainingError
from consumer.training.prepare import prepare
from tests.prepared import everything, write

app = typer.Typer()
app.command()(prepare_command)
runner = CliRunner()


def test_the_command_shows_the_report_and_says_what_to_do_next(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", everything())
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"text,toxicity\nyou fool,toxic\n"))
    output = tmp_path / "out"
    result = runner.invoke(app, [str(file), str(tmp_path / "b.csv.gz"), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "Near-duplicates" in result.stdout
    assert f"next: moderate train fit {output} --output MODEL" in result.stderr


GOOD = b'{"text": "a", "toxicity": "clean"}\n'


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (GOOD + b'{"text": ', (), "a.jsonl:2 is not JSON; write one JSON object a line"),
        (b'{"text": "a", "sentiment": "great"}', (), "a.jsonl:1 has an unknown sentiment label; use negative"),
        (b'{"body": "a", "toxicity": "clean"}', (), "a.jsonl:1 has no text"),
        (b"", (), "a.jsonl holds no rows"),
        (GOOD, (), "no row is left for dev: of the 1 rows read, 1 are left to split; give more rows or a larger"),
        (b'{"text": "\\u200b", "toxicity": "clean"}', (), "no row is left for train"),
        (GOOD * 9, ("--dev-share", "0"), "give --dev FILE or a --dev-share above 0"),
        (GOOD * 9, ("--dev-share", "0.5", "--test-share", "0.5"), "leave nothing to train on"),
        (GOOD * 9, ("--dev", "a.jsonl"), "a.jsonl is given twice"),
        (GOOD * 9, ("--dev", "missing.jsonl"), "missing.jsonl cannot be read"),
        (GOOD * 9, ("--output", "a.jsonl/out"), "cannot be written"),
        (GOOD * 9, ("--output", "."), "exists already; remove it or choose another output directory"),
        (GOOD * 9, ("--assume-clean", "reviws"), '--assume-clean is "reviws", from which no training row comes'),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(content)
    given = ["--output", "out", "--test-share", "0", *options]
    if "cannot be written" in message or "reviws" in message:
        write(Path("a.jsonl"), everything())
    result = runner.invoke(app, ["a.jsonl", *given])
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_damaged_archive_is_named_without_a_traceback(tmp_path: Path) -> None:
    whole = gzip.compress(GOOD * 100)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:12] + b"\xff" * 20 + whole[32:])
    with pytest.raises(TrainingError, match=r"a\.jsonl\.gz cannot be read"):
        prepare([tmp_path / "a.jsonl.gz"], tmp_path / "out")
