"""Records from files, as `demo` and `produce` send them: none is lost in silence, and each has the id it always had."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from consumer.files import FileError
from consumer.kafka.embedded import embedded_broker
from consumer.terminal.inputs import InputRecord, read_records
from consumer.terminal.produce import produce


def records(tmp_path: Path, content: bytes, name: str = "a.csv") -> list[InputRecord]:
    path = tmp_path / name
    path.write_bytes(content)
    return list(read_records(str(path)))


def values(found: list[InputRecord]) -> list[object]:
    return [json.loads(record.value or b"") for record in found]


def test_rows_behind_an_unclosed_quote_are_not_lost_but_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.csv:2 has a quote that does not close"):
        records(tmp_path, b'id,text\n1,"hello\n2,world\n3,foo\n')


def test_rows_without_an_id_are_numbered_and_lines_have_that_of_their_line(tmp_path: Path) -> None:
    found = records(tmp_path, b"id;text;author_id;more\n;a;;x\n7;b;me;\n;c\n")
    assert values(found) == [
        {"id": "row-1", "text": "a", "more": "x"},
        {"id": "7", "text": "b", "author_id": "me", "more": ""},
        {"id": "row-3", "text": "c"},
    ]
    assert [record.key for record in found] == [b"row-1", b"7", b"row-3"]
    assert values(records(tmp_path, b"a\n\nb\n", "a.txt")) == [
        {"id": "line-1", "text": "a"},
        {"id": "line-3", "text": "b"},
    ]


def test_a_line_of_json_is_sent_byte_for_byte_with_its_id_as_the_key(tmp_path: Path) -> None:
    lines = {
        b'{"id":"a", "text":"x"}': b"a",
        b'{"id":1042,"text":"x","n":1.0e400}': b"1042",
        b'{"id":-7,"text":"so good \\ud83d"}': b"-7",
        b'{"id":' + b"9" * 21 + b',"text":"x"}': None,
        b'{"id":true,"text":"x"}': None,
        b'{"id":1.5,"text":"x"}': None,
        b"broken \xff\xfe": None,
        b'\xef\xbb\xbf{"id":"b","text":"x"}': b"b",
    }
    found = records(tmp_path, b"\n".join(lines), "a.jsonl")
    assert [record.value for record in found] == list(lines)
    assert [record.key for record in found] == list(lines.values())


def test_bytes_that_are_not_utf8_reach_the_stream_as_they_are(tmp_path: Path) -> None:
    (record,) = records(tmp_path, b"id,text\n1,caf\xe9\n")
    assert record.value == b'{"id": "1", "text": "caf\xe9"}'


def test_how_a_table_is_read_is_said_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records(tmp_path, b"id\ttext\n1\ta\n")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"{tmp_path}/a.csv is read as: tabs between the columns\n"


def test_what_stands_before_an_unreadable_row_is_sent_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,a\n2,b\n3,"never closed\n')
    with embedded_broker(["comments"]) as bootstrap:
        produced = produce(
            Producer({"bootstrap.servers": bootstrap}), "comments", read_records(str(path)), lambda _: None
        )
    assert (produced.sent, produced.acknowledged, produced.failed) == (2, 2, 0)
    assert "a.csv:4 has a quote that does not close" in str(produced.unread)
