import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.model import load_engine
from consumer.training import fit as fitting
from consumer.training.commands import train_app
from consumer.training.data import read_rows
from consumer.training.errors import TrainingError
from consumer.training.fit import FitOptions, fit
from tests.tiny_models import save_classifier, save_encoder

runner = CliRunner()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        *[{"text": f"good {n}", "sentiment": "positive", "source": "s"} for n in range(10)],
        *[{"text": f"so so {n}", "sentiment": "neutral", "source": "s"} for n in range(10)],
        *[{"text": f"you fool {n}", "toxicity": "toxic", "source": "t"} for n in range(10)],
        *[{"text": f"hello you {n}", "toxicity": "clean", "source": "t"} for n in range(10)],
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def options(base: Path, epochs: int = 1) -> FitOptions:
    return FitOptions(base=str(base), epochs=epochs, batch_size=8, lora_rank=2)


def run(*arguments: object) -> str:
    result = runner.invoke(train_app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_training_rows_that_are_all_in_dev_are_refused(data: Path, tmp_path: Path) -> None:
    refused = runner.invoke(train_app, ["fit", str(data), "--output", str(tmp_path / "m"), "--dev", str(data)])
    assert refused.exit_code == 2
    assert "no training row is left" in refused.output


@pytest.mark.parametrize("method", ["lora", "full"])
def test_from_rows_to_a_model_that_the_engine_loads(data: Path, tmp_path: Path, method: str) -> None:
    base, output, dev = save_encoder(tmp_path / "base"), tmp_path / "out" / "model", tmp_path / "dev.jsonl"
    dev.write_text("\n".join(data.read_text().splitlines()[::5]))
    said = run("fit", data, "--output", output, "--dev", dev, "--base", base, "--method", method, "--rank", 2)
    assert f"next: moderate train calibrate {output}" in said
    work = output.with_name("model.work")
    with (work / "log.csv").open() as file:
        assert {"loss", "eval_macro_f1"} <= set(next(csv.DictReader(file)))
    assert (work / "log.png").read_bytes().startswith(b"\x89PNG")
    assert load_engine(str(output)).tag_groups.label_names() == {
        "sentiment": ("negative", "neutral", "positive"),
        "toxicity": ("clean", "toxic"),
    }
    facts = json.loads((output / "training.json").read_text())
    assert facts["rows_by_source"] == {"s": 16, "t": 16}
    assert facts["options"]["method"] == method


def test_a_trained_model_goes_on_learning_and_keeps_its_groups(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    toxicity_only = [row for row in rows if "toxicity" in row.labels]
    fit(rows, rows, tmp_path / "first", options(save_encoder(tmp_path / "base")))
    for name, model in {"adapter": tmp_path / "first", "whole": save_classifier(tmp_path / "classifier")}.items():
        more = FitOptions(continue_from=str(model), epochs=1, batch_size=8)
        fit(toxicity_only, rows, tmp_path / name, more)
        assert load_engine(str(tmp_path / name)).tag_groups == load_engine(str(model)).tag_groups
        assert load_engine(str(tmp_path / name)).version != load_engine(str(model)).version


def test_a_model_with_other_groups_is_not_continued(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    foreign = save_classifier(tmp_path / "foreign", id2label={0: "negative", 1: "positive"})
    with pytest.raises(TrainingError, match="was not trained by `moderate train fit`"):
        fit(rows, rows, tmp_path / "model", FitOptions(continue_from=str(foreign)))


def test_a_teacher_labels_what_the_rows_lack(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    fit(rows, rows, tmp_path / "teacher", options(save_encoder(tmp_path / "base")))
    taught = ["--base", tmp_path / "base", "--teacher", tmp_path / "teacher", "--rank", 2, "--epochs", 1]
    dev = tmp_path / "dev.jsonl"
    dev.write_text("\n".join(data.read_text().splitlines()[::5]))
    run("fit", data, "--output", tmp_path / "student", "--dev", dev, *taught)
    assert json.loads((tmp_path / "student" / "training.json").read_text())["teacher"] == str(tmp_path / "teacher")


def last_loss(work: Path) -> str:
    with (work / "log.csv").open() as file:
        return next(row["eval_loss"] for row in csv.DictReader(file) if row["step"] == "5" and row["eval_loss"])


def test_the_same_seed_gives_the_same_model_also_when_resumed(data: Path, tmp_path: Path) -> None:
    base, rows = save_encoder(tmp_path / "base"), read_rows(data)
    fit(rows, rows, tmp_path / "a", options(base))
    fit(rows, rows, tmp_path / "b", options(base))
    assert load_engine(str(tmp_path / "a")).version == load_engine(str(tmp_path / "b")).version

    # A run that stopped after its first checkpoint, before it wrote its model.
    (tmp_path / "b.work").rename(tmp_path / "c.work")
    shutil.rmtree(tmp_path / "c.work" / "checkpoint-5")
    (tmp_path / "c.work" / "log.csv").unlink()
    fit(rows, rows, tmp_path / "c", options(base), resume=True)
    assert load_engine(str(tmp_path / "c")).version == load_engine(str(tmp_path / "a")).version
    assert last_loss(tmp_path / "c.work") == last_loss(tmp_path / "a.work")


def test_a_run_that_fails_leaves_no_model_directory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> str:
        raise OSError("no space left")

    base, rows = save_encoder(tmp_path / "base"), read_rows(data)
    monkeypatch.setattr("consumer.training.saving._name_base", full_disk)
    with pytest.raises(OSError, match="no space"):
        fitting.fit(rows, rows, tmp_path / "out" / "model", options(base))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.work"]


def test_an_existing_output_is_never_overwritten(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    with pytest.raises(TrainingError, match="exists already"):
        fit(rows, rows, tmp_path, options(tmp_path))


def test_an_earlier_run_is_never_mixed_with_a_new_one(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model.work").mkdir()
    rows = read_rows(data)
    with pytest.raises(TrainingError, match="earlier run"):
        fit(rows, rows, tmp_path / "model", options(tmp_path))


def test_resuming_without_a_checkpoint_is_refused(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    with pytest.raises(TrainingError, match="no checkpoint"):
        fit(rows, rows, tmp_path / "model", options(tmp_path), resume=True)


def test_a_base_that_is_no_model_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    rows = read_rows(data)
    with pytest.raises(TrainingError, match="not an encoder"):
        fit(rows, rows, tmp_path / "model", options(tmp_path / "empty"))


def test_missing_packages_are_named_in_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.training.commands.common.find_spec", lambda _: None)
    refused = runner.invoke(train_app, ["evaluate", "bundled", "--data", str(data)])
    assert refused.exit_code == 2
    assert "comment-moderation-stream[train]" in refused.output
