"""Whatever one text is, training reads on: it is left out, counted and named by file and line, never quoted."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from consumer.model.cleaning import clean
from consumer.training import data
from consumer.training.data import Row, read_file, read_rows
from consumer.training.errors import TrainingError
from consumer.training.predict import predictions
from consumer.training.prepare import prepare
from schemas import MAX_TEXT_CHARACTERS
from tests.chaos.fuzz_files import check_preparation, hostile_rows
from tests.tiny_engine import tiny_engine
from tests.tiny_models import save_tagger

POISON = "poison do-not-quote-me"


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(text: str) -> str:
        if POISON in text:
            raise RecursionError(text)
        return clean(text)

    monkeypatch.setattr(data, "clean", fails)


def rows(*texts: str) -> list[dict[str, str]]:
    return [{"text": text, "sentiment": "positive", "source": "s"} for text in texts]


def write(path: Path, records: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.usefixtures("poisoned")
def test_a_text_that_makes_cleaning_raise_is_left_out_counted_and_named_by_line(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", rows("one is good", POISON, *(f"word{n} is very good" for n in range(40))))
    report = prepare([file], tmp_path / "out", dev_share=0.2, test_share=0)
    assert report["files"][0]["unreadable"] == {2: "cleaning failed on it: RecursionError"}
    assert report["files"][0]["dropped"] == {"cleaning fails": 1}
    assert report["files"][0]["rows"] == report["files"][0]["kept"] + 1 == 42
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "cannot be cleaned: 1, line 2 (cleaning failed on it: RecursionError)" in markdown
    assert "do-not-quote-me" not in markdown + (tmp_path / "out" / "report.json").read_text()


@pytest.mark.usefixtures("poisoned")
def test_the_other_commands_leave_it_out_and_say_so(tmp_path: Path) -> None:
    notes: list[str] = []
    file = write(tmp_path / "a.jsonl", rows("good", POISON, "better"))
    assert [row.text for row in read_rows(file, notes.append)] == ["good", "better"]
    (note,) = notes
    assert note.startswith(f"{file}: rows left out because their texts cannot be cleaned: 1, line 2 (")


def test_a_text_on_which_the_engines_own_steps_fail_has_no_prediction_and_the_others_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tiny_engine(save_tagger(tmp_path, {"toxicity": {"labels": ["clean", "toxic"], "activation": "softmax"}}))
    real = engine.model_text

    def fails(text: str) -> str:
        if text == POISON:
            raise ValueError(text)
        return real(text)

    monkeypatch.setattr(engine, "model_text", fails)
    found = predictions(engine, [Row(text, {}, "") for text in ("good", POISON, "bad")])
    assert [bool(prediction.scores) for prediction in found] == [True, False, True]
    monkeypatch.undo()
    assert [found[0], found[2]] == predictions(engine, [Row("good", {}, ""), Row("bad", {}, "")])


def test_a_digit_reference_longer_than_python_reads_ends_no_preparation(tmp_path: Path) -> None:
    texts = ["&#" + "1" * 4301 + ";", "&amp;#" + "0" * 5000 + "65;", *(f"word{n} is very good" for n in range(40))]
    prepare([write(tmp_path / "a.jsonl", rows(*texts))], tmp_path / "out", dev_share=0.2, test_share=0)


def test_a_longer_text_is_cut_as_the_stream_cuts_it_and_counted(tmp_path: Path) -> None:
    long = "word " * MAX_TEXT_CHARACTERS
    reading = read_file(write(tmp_path / "a.jsonl", rows("short", long)))
    assert [len(row.row.text) for row in reading.rows] == [5, MAX_TEXT_CHARACTERS]
    assert reading.cut == [2]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (rb'{"text":"so good \ud83d","toxicity":"clean"}', "so good \ufffd"),
        (rb'{"text":"so good \ud83d\ude00","toxicity":"clean"}', "so good \U0001f600"),
        (b'\xef\xbb\xbf{"text":"a","toxicity":"clean"}', "a"),
        (b'{"text":"a","toxicity":"clean","score":NaN,"n":' + b"9" * 5000 + b"}", "a"),
        (b'{"text":"a","toxicity":" clean "}', "a"),
        (b'{"text":"a","text":"b","toxicity":"clean"}', "has the member 'text' twice"),
        (b'{"text":"a","te\\u0078t":"b","toxicity":"clean"}', "has the member 'text' twice"),
        (b'{"text":"a","toxicity":"clean","x":' + b"[" * 100_000 + b"}", "is not JSON"),
        (b'{"text":"a","toxicity":NaN}', "has an unknown toxicity label"),
        (b'{"text":1e400,"toxicity":"clean"}', "has no text"),
        (b'{"text":"a","toxicity":"clean\\u001b[31m"}', "has an unknown toxicity label"),
    ],
)
def test_odd_json_is_a_row_as_the_stream_reads_it_or_an_error_with_its_line(
    line: bytes, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text":"first","toxicity":"toxic"}\n' + line + b"\n")
    try:
        assert read_rows(path)[1].text == text
    except TrainingError as error:
        assert f"{path}:2 {text}" in str(error)  # noqa: PT017 - either is right, each for its lines


@settings(deadline=None, max_examples=20)
@given(rows=hostile_rows)
def test_whatever_the_rows_say_preparation_ends_in_files_and_counts_every_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    check_preparation(tmp_path_factory.getbasetemp(), rows)
