"""`moderate metrics`: the list of metrics, for a person and for the documents."""

from pathlib import Path

from typer.testing import CliRunner

from consumer.cli import app
from consumer.telemetry.metric_defs import ALL
from consumer.terminal.metrics_table import as_markdown

ROOT = Path(__file__).parents[2]


def test_the_page_in_deploy_says_what_the_metrics_are() -> None:
    page = (ROOT / "deploy" / "METRICS.md").read_text()
    assert page == as_markdown(), "run `moderate metrics --markdown > deploy/METRICS.md`"


def test_every_metric_has_a_meaning_and_stands_in_the_page_once() -> None:
    page = as_markdown()
    for definition in ALL:
        assert definition.meaning.endswith(".")
        assert page.count(f"| `{definition.name}` |") == 1


def test_no_meaning_breaks_the_page() -> None:
    rows = [line for line in as_markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(ALL)
    assert {row.count("|") for row in rows} == {5}


def test_a_terminal_of_80_columns_shows_every_name_in_one_piece() -> None:
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["metrics"])
    assert shown.exit_code == 0
    assert all(definition.name in shown.stdout for definition in ALL)
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


def test_the_command_prints_the_page() -> None:
    assert CliRunner().invoke(app, ["metrics", "--markdown"]).stdout == as_markdown()
