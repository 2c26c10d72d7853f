import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.training.data import Row, assume_clean, cleaned, read_rows, without
from consumer.training.errors import TrainingError


def test_jsonl_and_csv_plain_or_gzipped_say_the_same(tmp_path: Path) -> None:
    jsonl = '{"text": "good", "sentiment": "positive", "source": "s"}\n\n{"text": "bad", "toxicity": "toxic"}\n'
    csv = 'text,sentiment,toxicity,source\ngood,positive,,s\n"bad",,toxic,\n'
    expected = [Row("good", {"sentiment": "positive"}, "s"), Row("bad", {"toxicity": "toxic"}, "")]
    for name, content in {"a.jsonl": jsonl, "a.csv": csv}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
        assert read_rows(tmp_path / name) == expected
        assert read_rows(tmp_path / f"{name}.gz") == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a", "sentiment": "positive"}\n{"text"', r"a\.jsonl:2 is not JSON"),
        ("a.jsonl", b'{"text": "a", "sentiment": "great"}', r"a\.jsonl:1 has an unknown sentiment label; use negative"),
        ("a.jsonl", b'{"text": "a"}', r"a\.jsonl:1 has no label"),
        ("a.jsonl", b'["a"]', r"a\.jsonl:1 has no text"),
        ("a.jsonl", b'{"text": "a", "toxicity": ["toxic"]}', r"a\.jsonl:1 has an unknown toxicity label"),
        ("a.jsonl", b"\n\n", "holds no rows"),
        ("a.jsonl", b"\xff", "not UTF-8"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.csv", b"comment,sentiment\na,positive\n", r"a\.csv:1 has no column named text"),
        ("a.csv", b"text,sentiment\na,positive\nb,nice\n", r"a\.csv:3 has an unknown sentiment label"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        read_rows(tmp_path / name)


@settings(deadline=None)  # three files are written and read for every example
@given(content=st.binary())
def test_any_bytes_are_rows_or_a_training_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    for name in ("any.jsonl", "any.csv", "any.csv.gz"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        with pytest.raises(TrainingError):
            read_rows(path)


def test_equal_texts_after_cleaning_are_one_row_and_empty_ones_none() -> None:
    rows = [
        Row("@ann hi", {"toxicity": "clean"}, ""),
        Row("@bob  hi", {"toxicity": "toxic"}, ""),
        Row("\u200b", {}, ""),
    ]
    assert cleaned(rows) == [Row("@user hi", {"toxicity": "clean"}, "")]


def test_training_rows_never_contain_a_dev_text_in_whatever_case() -> None:
    assert without([Row("Good", {}, ""), Row("bad", {}, "")], [Row("good", {}, "")]) == [Row("bad", {}, "")]


def test_only_unlabelled_rows_of_the_named_source_are_assumed_clean() -> None:
    review, abuse, tweet = (
        Row("a", {"sentiment": "positive"}, "r"),
        Row("b", {"toxicity": "toxic"}, "r"),
        Row("c", {}, "t"),
    )
    assert assume_clean([review, abuse, tweet], ["r"]) == [
        Row("a", {"sentiment": "positive", "toxicity": "clean"}, "r"),
        abuse,
        tweet,
    ]
