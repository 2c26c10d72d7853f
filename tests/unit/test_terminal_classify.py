"""`moderate classify`, with and without an explanation."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from consumer.cli import app
from consumer.errors import ReaderError
from consumer.model.explain import Explanation, Word
from consumer.terminal.event_texts import event_texts
from consumer.terminal.explanation import as_text
from schemas import MAX_TEXT_CHARACTERS
from tests.tiny_models import save_classifier


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"))


def classify(model: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["classify", *arguments], input=stdin, env={"MODEL": str(model), "COLUMNS": "160"})


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_without_explain_has_no_explanation(model: Path) -> None:
    (found,) = objects(classify(model, "--json", "a good day"))
    assert found.keys() == {"text", "tags", "decision", "truncated", "model", "policy"}


def test_an_explanation_in_json_gives_every_word_the_sum_and_its_error(model: Path) -> None:
    (found,) = objects(classify(model, "--json", "--explain", "A good day"))
    explanation = found["explanation"]
    assert explanation["model_text"] == "a good day"
    assert explanation["groups"].keys() == found["tags"].keys()
    for group in explanation["groups"].values():
        assert [word["text"] for word in group["words"]] == ["a", "good", "day"]
        assert group["sum"] == pytest.approx(sum(word["attribution"] for word in group["words"]))
        assert group["completeness_error"] < 0.01


def test_a_comment_and_a_tagged_comment_are_read_from_standard_input(model: Path) -> None:
    lines = '{"id": "1", "text": "a comment"}\n\n{"event_id": "e", "comment": {"id": "2", "text": "a tagged one"}}\n'
    found = objects(classify(model, "--json", "--explain", "-", stdin=lines))
    assert [item["text"] for item in found] == ["a comment", "a tagged one"]
    assert all("explanation" in item for item in found)


def test_the_words_are_readable_without_colours(model: Path) -> None:
    result = classify(model, "--explain", "A good day")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "a good day" in result.stdout
    assert "from its words" in result.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"comment": {"id": "1"}}', "line 2 of standard input is a tagged comment without its text.*RESULTS_INCLUDE"),
        (b'{"comment": {"id": "1", "text": null}}', "RESULTS_INCLUDE_TEXT is false"),
        (b'{"id": "1"}', "line 2 of standard input holds no text"),
        (b'{"text": 7}', "holds no text"),
        (b'{"text": "  "}', "holds no text"),
        (b'["text"]', "holds no text"),
        (b"a plain text", "line 2 of standard input holds no text; give one comment or tagged comment a line"),
        (b"\xff\xfe", "holds no text"),
    ],
)
def test_a_line_without_a_text_gets_one_sentence(line: bytes, message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        event_texts([b'{"text": "good"}\n', line], "standard input")


def test_an_empty_standard_input_gets_one_sentence(model: Path) -> None:
    result = classify(model, "-", stdin="\n")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith("error: standard input is empty")


def shown(explanation: Explanation, text: str, *, colours: bool) -> str:
    console = Console(force_terminal=colours, color_system="truecolor" if colours else None, width=120)
    with console.capture() as capture:
        console.print(as_text(text, [explanation]))
    return capture.get()


CLEAN = Explanation(
    "toxicity", "clean", "toxic", 0.3, 0.1, [Word("you", 0, 3, 0.25), Word("dear", 4, 8, -0.05), Word("!", 8, 9, 0.0)]
)


def test_an_explanation_looks_like_this() -> None:
    assert shown(CLEAN, "you dear!", colours=False) == (
        "\n"
        "(the model's own scores, before any doubt about the text's language)\n"
        "\n"
        "toxicity: clean, which is the absence of toxic; what speaks for toxic is shown\n"
        "you dear!\n"
        "you +0.25  dear -0.05  ! +0.00\n"
        "toxic 0.30 = 0.10 without any word +0.20 from its words (error 0.0000)\n"
        "\n"
    )


def test_a_word_for_the_label_is_red_one_against_it_blue_and_one_that_did_nothing_plain() -> None:
    coloured = shown(CLEAN, "you dear!", colours=True)
    assert "48;2;214;39;40m" + "you" in coloured
    blue = coloured.split("dear")[0].rsplit("48;2;", 1)[1].rstrip("m").split(";")
    assert int(blue[2]) > int(blue[0])
    assert "!\n" in coloured


def test_a_text_cannot_move_the_cursor() -> None:
    hostile = Explanation("toxicity", "toxic", "toxic", 0.9, 0.1, [Word("\x1b[2J", 0, 4, 0.8)])
    assert "\x1b" not in shown(hostile, "\x1b[2J", colours=False)


def test_a_text_that_cleaning_fails_on_gets_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_text: str) -> str:
        raise ValueError("a pill")

    monkeypatch.setattr("consumer.model.engine.clean", fails)
    monkeypatch.setattr("consumer.model.engine.Engine.warm_up", lambda _engine: None)
    result = classify(model, "a pill")
    assert result.exit_code == 1
    assert "cleaning failed on it: ValueError" in result.output
    assert "Traceback" not in result.output


def test_a_text_longer_than_what_is_judged_is_truncated_as_in_the_stream(model: Path) -> None:
    longer = "http://" + "a" * MAX_TEXT_CHARACTERS + " a good day"
    (found,) = objects(classify(model, "--json", longer))
    assert found["truncated"]
