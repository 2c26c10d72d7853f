import hashlib
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from consumer.model import load_engine
from consumer.training.commands import train_app
from consumer.training.data import Row
from consumer.training.fit import FitOptions, fit
from tests.tiny_models import save_encoder

runner = CliRunner()

ROWS = [
    Row(f"{word} {n}", {group: label}, "ours")
    for n in range(12)
    for word, group, label in (
        ("good", "sentiment", "positive"),
        ("bad", "sentiment", "negative"),
        ("fool", "toxicity", "toxic"),
        ("hello", "toxicity", "clean"),
    )
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on an encoder in a directory of its own."""
    folder = tmp_path_factory.mktemp("trained")
    options = FitOptions(base=str(save_encoder(folder / "base")), epochs=1, batch_size=8, lora_rank=2)
    fit(
        ROWS, ROWS, folder / "model", options, provenance={"rows_by_source": {"ours": 48}, "files": [{"path": "a.csv"}]}
    )
    return folder / "model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": row.text, **row.labels}) for row in ROWS))
    return path


def run(*arguments: object, status: int = 0) -> str:
    result = runner.invoke(train_app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return " ".join(result.output.split())


def test_the_package_needs_no_other_directory_and_answers_as_the_original(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, output = tmp_path / "report", tmp_path / "packaged"
    run("evaluate", trained, "--data", data, "--report", report, "--quick")
    run("package", trained, "--output", output, "--metrics", report / "report.json", "--name", "ours-v1")
    before = load_engine(str(trained)).classify(["good 1", "fool"])
    base = trained.with_name("base")
    base.rename(trained.with_name("gone"))
    try:
        engine = load_engine(str(output))
    finally:
        trained.with_name("gone").rename(base)
    for was, now in zip(before, engine.classify(["good 1", "fool"]), strict=True):
        assert now.scores == pytest.approx(was.scores, abs=0.02)  # type: ignore[union-attr]
    fingerprint = json.loads((output / "fingerprint.json").read_text())
    assert fingerprint["version"] == engine.version
    for name, digest in fingerprint["sha256"].items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == digest
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in output.iterdir()), "a container's user must read it"
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.json", "training.json"} <= set(
        fingerprint["sha256"]
    )


def test_the_card_is_in_the_hubs_format_with_figures_and_data(trained: Path, data: Path, tmp_path: Path) -> None:
    run("evaluate", trained, "--data", data, "--report", tmp_path / "report", "--quick")
    run("package", trained, "--output", tmp_path / "m", "--metrics", tmp_path / "report" / "report.json")
    _, header, body = (tmp_path / "m" / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(header)
    assert front["pipeline_tag"] == "text-classification"
    assert {metric["type"] for result in front["model-index"][0]["results"] for metric in result["metrics"]} == {
        "accuracy",
        "f1",
    }
    assert "| ours | 48 |" in body
    assert "a.csv" in body


def test_a_report_about_another_version_is_refused_and_nothing_is_written(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    run("evaluate", trained, "--data", data, "--report", tmp_path / "report", "--quick")
    report = tmp_path / "report" / "report.json"
    content = json.loads(report.read_text())
    content["model"]["version"] = "other"
    report.write_text(json.dumps(content))
    said = run("package", trained, "--output", tmp_path / "m", "--metrics", report, status=2)
    assert "measured version other" in said
    assert not (tmp_path / "m").exists()


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no safetensors weights" in run("package", tmp_path / "empty", "--output", tmp_path / "m", status=2)
    assert "neither" in run("package", tmp_path / "nowhere", "--output", tmp_path / "m", status=2)
    assert not (tmp_path / "m").exists()


def test_an_existing_output_is_left_alone(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert "exists already" in run("package", trained, "--output", tmp_path / "m", status=2)
