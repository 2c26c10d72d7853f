import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from consumer.training.commands.evaluate import evaluate
from consumer.training.errors import TrainingError
from consumer.training.evaluation import report as reports
from consumer.training.evaluation.html import page, plain_tables
from consumer.training.evaluation.terminal import tables
from tests.tiny_models import save_classifier

runner = CliRunner()
app = typer.Typer()
app.command()(evaluate)

NASTY = "<script>alert(1)</script>[b]"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights with the labels of each group swapped: it says the opposite."""
    return save_classifier(
        tmp_path_factory.mktemp("other"),
        id2label={0: "positive", 1: "neutral", 2: "negative", 3: "toxic"},
        tag_groups={
            "sentiment": {"labels": ["positive", "neutral", "negative"], "activation": "softmax"},
            "toxicity": {"labels": ["clean"], "complement": "toxic", "activation": "sigmoid"},
        },
    )


def write_rows(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(
        tmp_path / "rows.jsonl",
        *[{"text": f"good day {n}", "sentiment": "positive", "source": NASTY} for n in range(6)],
        *[{"text": f"{NASTY} {n}", "sentiment": "negative", "source": "b"} for n in range(6)],
        *[{"text": f"you fool {n}", "toxicity": "toxic", "source": "t"} for n in range(6)],
        *[{"text": f"hello you {n}", "toxicity": "clean", "source": "t"} for n in range(6)],
    )


def run(*arguments: object) -> Result:
    return runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


def measured(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json", "--quick")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_the_report_holds_every_figure_of_every_group(model: Path, data: Path) -> None:
    report = measured(model, "--data", data)
    assert report["schema"] == 1
    assert report["data"].items() >= {"file": str(data), "rows": 24, "unanswerable": 0}.items()
    assert re.fullmatch("[0-9a-f]{64}", report["data"]["sha256"])
    assert set(report["groups"]) == {"sentiment", "toxicity"}
    for group in report["groups"].values():
        assert set(group) == {
            *("rows", "accuracy", "macro", "labels", "confusion", "roc_auc", "average_precision"),
            *("calibration", "thresholds", "intervals", "slices"),
        }
        assert group["rows"] == sum(map(sum, group["confusion"]["matrix"])) == 12
    assert "bias" not in report


def test_the_same_model_and_rows_give_the_same_report(model: Path, data: Path) -> None:
    assert measured(model, "--data", data) == measured(model, "--data", data)


def test_without_quick_bias_and_robustness_are_measured_and_shown(model: Path, data: Path, tmp_path: Path) -> None:
    result = run(model, "--data", data, "--report", tmp_path / "report")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["bias"]["templates"]["groups"]
    assert report["robustness"]["perturbations"]
    content = (tmp_path / "report" / "report.html").read_text()
    assert report["bias"]["templates"]["groups"][0]["term"] in content
    assert report["robustness"]["perturbations"][0]["name"] in content


def test_a_warning_of_the_log_is_no_part_of_the_json(other: Path, data: Path) -> None:
    result = run(other, "--data", data, "--json", "--quick")
    assert "tag_groups_by_order" in result.stderr
    assert json.loads(result.stdout)["schema"] == 1


def test_the_tables_fit_a_hundred_columns_and_print_names_from_the_data_as_they_are(
    model: Path, other: Path, data: Path
) -> None:
    report = measured(model, "--data", data, "--compare", other)
    console = Console(width=200, record=True)
    for table in tables(report):
        assert console.measure(table).maximum <= 100
        console.print(table)
    text = console.export_text()
    assert f"source {NASTY}" in text
    assert "verdict" in text


def test_the_page_needs_no_network_and_no_scripts_and_escapes_texts(
    model: Path, other: Path, data: Path, tmp_path: Path
) -> None:
    result = run(model, "--data", data, "--quick", "--compare", other, "--report", tmp_path / "new" / "report")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new" / "report"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]
    assert json.loads((folder / "report.json").read_text())["comparison"]["disagreements"]

    tags: list[str] = []
    links: list[str] = []

    class Collector(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            links.extend(value or "" for name, value in attrs if name in ("src", "href", "xlink:href"))

    content = (folder / "report.html").read_text()
    Collector().feed(content)
    assert tags.count("svg") == 5  # a confusion matrix and a reliability diagram each, and thresholds for toxicity
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert all(link.startswith("#") for link in links)
    assert "&lt;script&gt;alert(1)" in content
    assert "#010203" not in content  # every plot takes the page's text colour


def test_the_page_is_the_same_for_the_same_report(model: Path, data: Path) -> None:
    report = measured(model, "--data", data)
    assert page(report) == page(report)


def test_rows_of_one_class_have_no_auc_and_it_is_said(model: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "toxic.jsonl", *[{"text": f"fool {n}", "toxicity": "toxic"} for n in range(3)])
    report = measured(model, "--data", data)
    assert report["groups"]["toxicity"]["roc_auc"] is None
    assert "every row is toxic" in run(model, "--data", data, "--quick").stdout
    assert "Every row carries the label toxic, so there is no ROC-AUC" in page(report)


def test_the_gate_exits_1_with_one_sentence_when_the_model_is_really_worse(
    model: Path, other: Path, tmp_path: Path
) -> None:
    # The two answer the opposite of one another, so on rows that want what one of them says, one is always right.
    texts = [f"hello you {n}" for n in range(30)]
    unlabelled = write_rows(tmp_path / "any.jsonl", *[{"text": text, "toxicity": "toxic"} for text in texts])
    matrix = measured(model, "--data", unlabelled)["groups"]["toxicity"]["confusion"]["matrix"]
    wanted = "toxic" if sum(row[1] for row in matrix) == len(texts) else "clean"
    data = write_rows(tmp_path / "rows.jsonl", *[{"text": text, "toxicity": wanted} for text in texts])
    passed = run(model, "--data", data, "--quick", "--compare", other, "--gate")
    assert passed.exit_code == 0, passed.output
    refused = run(other, "--data", data, "--quick", "--compare", model, "--gate")
    assert refused.exit_code == 1
    assert "error: the model is really worse than" in " ".join(refused.stderr.split())
    assert run(other, "--data", data, "--quick", "--compare", model).exit_code == 0


def test_bad_input_is_refused_with_one_sentence(model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sentiment_only = save_classifier(tmp_path / "sentiment", id2label={0: "negative", 1: "neutral", 2: "positive"})
    toxic = write_rows(tmp_path / "toxic.jsonl", {"text": "a", "toxicity": "toxic"})
    cases = {
        "no row of": [sentiment_only, "--data", toxic],
        "no safetensors": [tmp_path / "empty", "--data", data],
        "nothing is downloaded": ["no/such-model", "--data", data],
        "cannot be read": [model, "--data", tmp_path / "missing.jsonl"],
        "--gate needs": [model, "--data", data, "--gate"],
        "folder that you can write to": [model, "--data", data, "--report", data],
        'MODEL names "no/other"': [model, "--data", data, "--compare", "no/other"],
    }
    for message, arguments in cases.items():
        refused = run(*arguments, "--quick")
        assert refused.exit_code == 2, refused.output
        assert refused.stderr.count("error:") == 1
        assert message in " ".join(refused.stderr.split())
        assert refused.stdout == ""


def test_a_report_that_cannot_be_written_leaves_the_old_one_whole(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = measured(model, "--data", data)
    reports.write(report, tmp_path / "report")
    before = (tmp_path / "report" / "report.json").read_text()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(TrainingError, match="No space left"):
        reports.write(report | {"schema": 2}, tmp_path / "report")
    assert (tmp_path / "report" / "report.json").read_text() == before
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["report.html", "report.json"]


def test_a_nested_dictionary_becomes_plain_tables() -> None:
    content = {
        "rows": 1234,
        "parts": [{"term": "a", "auc": 0.5}, {"term": "b", "auc": None}],
        "usage": {"quoted": {"rows": 2, "seen": True}},
        "deeper": {"spread": 0.25, "groups": []},
    }
    assert [tuple(table) for table in plain_tables("bias", content)] == [
        ("bias", ["rows"], [["1,234"]]),
        ("parts", ["term", "auc"], [["a", "0.500"], ["b", "–"]]),
        ("usage", ["", "rows", "seen"], [["quoted", "2", "yes"]]),
        ("deeper", ["spread"], [["0.250"]]),
    ]
