import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.model import ModelError, load_engine
from consumer.model.base import BASE_ID
from consumer.training import fit as fitting
from consumer.training.commands import train_app
from consumer.training.data import read_rows
from consumer.training.errors import TrainingError
from consumer.training.fit import FitOptions, fit
from consumer.training.network import continued
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


def test_the_bundled_model_goes_on_learning_without_a_look_at_the_hub() -> None:
    network = continued("bundled")
    assert Path(network.model.peft_config["default"].base_model_name_or_path).is_dir()
    assert network.base == BASE_ID


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


def test_a_run_is_resumed_with_the_same_rows_and_options_only(data: Path, tmp_path: Path) -> None:
    base, rows = save_encoder(tmp_path / "base"), read_rows(data)
    fit(rows, rows, tmp_path / "model", options(base))
    shutil.rmtree(tmp_path / "model")
    for train, changed in ((rows[1:], options(base)), (rows, options(base, epochs=2))):
        with pytest.raises(TrainingError, match="other rows or options"):
            fit(train, rows, tmp_path / "model", changed, resume=True)


def test_a_training_that_diverges_writes_no_model(data: Path, tmp_path: Path) -> None:
    base, rows = save_encoder(tmp_path / "base"), read_rows(data)
    wild = FitOptions(base=str(base), method="full", epochs=1, batch_size=8, learning_rate=1e30)
    with pytest.raises(TrainingError, match="diverged"):
        fit(rows, rows, tmp_path / "model", wild)
    assert not (tmp_path / "model").exists()


def test_whole_weights_go_on_at_the_rate_of_whole_weights(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    fit(
        rows,
        rows,
        tmp_path / "model",
        FitOptions(continue_from=str(save_classifier(tmp_path / "m")), epochs=1, batch_size=8),
    )
    with (tmp_path / "model" / "log.csv").open() as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file) if row["learning_rate"]]
    assert max(rates) <= 2e-5
    assert json.loads((tmp_path / "model" / "training.json").read_text())["options"]["method"] == "full"


def test_dev_rows_without_a_group_are_refused_as_nothing_could_be_chosen_by_them(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    with pytest.raises(TrainingError, match="no dev row has a toxicity label"):
        fit(rows, rows[:20], tmp_path / "model", options(save_encoder(tmp_path / "base")))


def test_a_pickled_or_otherwise_cleaned_model_is_not_continued(data: Path, tmp_path: Path) -> None:
    rows = read_rows(data)
    pickled = save_classifier(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    old = save_classifier(tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | {"cleaning_version": 1}))
    for model, message in ((pickled, "no safetensors"), (old, "cleaning version 1")):
        with pytest.raises(ModelError, match=message):
            fit(rows, rows, tmp_path / "model", FitOptions(continue_from=str(model)))


def refused(*arguments: object) -> str:
    result = runner.invoke(train_app, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_options_that_contradict_or_name_nothing_are_refused(data: Path, tmp_path: Path) -> None:
    dev = tmp_path / "dev.jsonl"
    dev.write_text("\n".join(data.read_text().splitlines()[::5]))
    given = ("fit", data, "--output", tmp_path / "m", "--dev", dev)
    assert "leave --base, --method and --rank out" in refused(*given, "--continue-from", "bundled", "--rank", 4)
    assert "--weight names x, but the rows come from s, t" in refused(*given, "--weight", "x=2")
    assert "write SOURCE=FACTOR" in refused(*given, "--weight", "s")
    stars = save_classifier(tmp_path / "stars", id2label={0: "negative", 1: "positive"})
    assert "sentiment labels of the teacher" in refused(
        *given, "--teacher", stars, "--base", save_encoder(tmp_path / "b")
    )
    assert "does not exist" in refused("fit", tmp_path / "nothing", "--output", tmp_path / "m")
    assert "name a second one with --dev" in refused("fit", data, "--output", tmp_path / "m")


def test_no_correction_of_a_test_row_trains_what_the_test_rows_will_judge(data: Path, tmp_path: Path) -> None:
    from consumer.training.commands.fit import _with_feedback
    from consumer.training.feedback_journal import open_journal
    from consumer.training.feedback_record import FeedbackRecord

    def feedback(number: int, text: str) -> FeedbackRecord:
        fields = {"comment_id": str(number), "text": text, "labels": {"toxicity": "clean"}, "moderator_id": "m"}
        return FeedbackRecord("f", 0, number, None, json.dumps({**fields, "at": "2026-03-01T10:02:11Z"}).encode())

    with open_journal(tmp_path / "corrections") as journal:
        journal.add([feedback(0, "you fool 3"), feedback(1, "see you at the new library on friday morning")])
        journal.write_dataset()
    rows, held_out = read_rows(data), [row for row in read_rows(data) if row.text == "you fool 3"]
    mixed = _with_feedback(tmp_path / "corrections", rows, held_out, 42)
    assert [row.text for row in mixed if row.source == "feedback"] == ["see you at the new library on friday morning"]


def test_what_collecting_warned_of_is_said_again_before_it_is_learnt(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from consumer.training.commands.fit import _with_feedback
    from consumer.training.feedback_journal import open_journal
    from tests.corrections import record, value

    with open_journal(tmp_path / "corrections") as journal:
        journal.add(record(n, value(f"c-{n}", f"corrected words {n}", n, toxicity="toxic")) for n in range(120))
        journal.write_dataset()
    _with_feedback(tmp_path / "corrections", read_rows(data), [], 42)
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: moderator " in said
    assert "gave 100% of the 120 labels" in said
    report = tmp_path / "corrections" / "report.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"warnings": ["\x1b[31mnot ours", 7]}))
    _with_feedback(tmp_path / "corrections", read_rows(data), [], 42)
    assert "warning: ·[31mnot ours\n" in capsys.readouterr().err
