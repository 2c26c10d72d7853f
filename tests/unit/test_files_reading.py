"""Files of comments: what they are is found out from their first block, they are streamed, and nothing else is read."""

import gzip
import io
import json
import os
import re
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.files import FileError, open_input, size_bytes
from consumer.files import lines as lines_module

XLSX = b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml"


def entries(path: Path | str, *, strict: bool = False) -> list[tuple[int, object]]:
    return list(open_input(str(path), lambda _: None, strict=strict).entries())


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", XLSX, "is an Excel file, or another zip archive; save the sheet as CSV"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel file; save the sheet as CSV"),
        ("a.csv.gz", gzip.compress(XLSX), "is an Excel file"),
        (
            "a.jsonl.gz",
            gzip.compress(gzip.compress(b'{"id":"1","text":"a"}\n')),
            "packed by gzip twice; unpack it once",
        ),
        ("a.jsonl.gz", b'{"id":"1","text":"a"}\n', "is not packed by gzip; leave .gz out of its name"),
        ("a.csv.gz", gzip.compress(b"text\nhello\n")[:-4], "cannot be read beyond line 2: .*end-of-stream"),
        ("a.csv.gz", gzip.compress(b"text\n")[:11], "cannot be read"),
        ("a.parquet", b"PAR1\x15\x04", "is a Parquet file; write it as CSV"),
        ("a.csv.bz2", b"BZh91AY&SY", "is packed by bzip2"),
        ("a.json", b'[{"id":"1","text":"a"},\n{"id":"2","text":"b"}]\n', "is a JSON array; write one object a line"),
        ("a.json", b'[{"id":"1","text":"a"},{"id":"2","text":"b"}]', "is a JSON array; write one object a line"),
        ("a.json", b'\n[\n  {"id":"1","text":"a"}\n]\n', "is a JSON array; write one object a line"),
        (
            "a.json",
            b'{\n  "id": "1",\n  "text": "a"\n}\n',
            "has JSON objects of several lines; write one object a line",
        ),
        ("a.csv", "id,text\n1,a\n".encode("utf-16-le"), "is UTF-16 without a byte order mark"),
        (
            "a.csv",
            b"\xff\xfe" + "id,text\n1,a\n".encode("utf-16-le") + b"\x00\xd8",
            "is UTF-16 up to line .* and broken",
        ),
        ("a.txt", b"", "holds no rows"),
        ("a.txt", b" \n\r\n", "holds no rows"),
        ("a.txt", b"\xef\xbb\xbf", "holds no rows"),
    ],
)
def test_what_cannot_be_read_is_named_in_a_sentence(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError, match=sentence):
        entries(path)


def test_a_directory_a_missing_file_and_one_without_permission_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be read: Is a directory\.$"):
        entries(tmp_path)
    with pytest.raises(FileError, match=r"cannot be read: No such file or directory\.$"):
        entries(tmp_path / "missing.csv")
    with pytest.raises(FileError, match=r"cannot be read: .*null"):
        entries("a\0b")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"id":"1"}\r\n\r\n{"id":"2"}', [(1, '{"id":"1"}'), (3, '{"id":"2"}')]),
        ("a.jsonl", b'{"id":"1"}\r{"id":"2"}\r', [(1, '{"id":"1"}'), (2, '{"id":"2"}')]),
        ("a.jsonl", b'{"id":\r"1"}\n{"id":"2"}\n', [(1, '{"id":\r"1"}'), (2, '{"id":"2"}')]),
        ("a.jsonl", '\ufeff{"id":"1"}\n'.encode("utf-16-be"), [(1, '{"id":"1"}')]),
        ("a.jsonl", b'["a broken record"]\n', [(1, '["a broken record"]')]),
        ("a.txt", "one\u2028still one\x85\n\ntwo\n".encode(), [(1, "one\u2028still one\x85"), (3, "two")]),
        ("a.txt", b'{"id":"1"}\n', [(1, '{"id":"1"}')]),
        ("a", b'{"id":"1"}\n', [(1, '{"id":"1"}')]),
        ("a", b"id;text\n1;a\n", [(2, {"id": "1", "text": "a"})]),
        ("a", b"Well, text\nand more\n", [(2, {"Well": "and more"})]),
        ("a", b"just text\n", [(1, "just text")]),
        ("a.csv.gz", gzip.compress(b"id,text\n1,a\n"), [(2, {"id": "1", "text": "a"})]),
        ("a.csv", gzip.compress(b"id,text\n1,a\n"), [(2, {"id": "1", "text": "a"})]),
        ("a.csv.gz", gzip.compress(b"id,text\n") + gzip.compress(b"1,a\n"), [(2, {"id": "1", "text": "a"})]),
    ],
)
def test_what_a_file_holds_is_found_out_from_its_name_and_its_first_line(
    name: str, content: bytes, expected: list[tuple[int, object]], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if expected == [(2, {"Well": "and more"})]:  # prose that looks like a header: refused, not read as something else
        with pytest.raises(FileError, match=":2 has 1 of the 2 cells"):
            entries(path)
        return
    assert entries(path) == expected


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_where_text_must_be_utf8_the_first_other_byte_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes("id,text\n1,n\u00e4\n2,caf".encode() + b"\xe9\n")
    with pytest.raises(FileError, match=rf"{name}:3 is not UTF-8: byte 6 of the line is 0xE9; save the file as UTF-8"):
        entries(path, strict=True)
    assert len(entries(path)) >= 2


def test_a_pipe_is_read_as_it_comes_and_its_first_line_in_pieces_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    read = threading.Event()

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for part in (b"id", b";te", b"xt\n1;first\n"):
                pipe.write(part)
            read.wait(30)
            pipe.write(b"2;second\n")

    writer = threading.Thread(target=write)
    writer.start()
    rows = open_input(str(path), lambda _: None).entries()
    assert next(rows) == (2, {"id": "1", "text": "first"})
    read.set()
    assert list(rows) == [(3, {"id": "2", "text": "second"})]
    writer.join()
    assert size_bytes(str(path)) is None


def test_standard_input_is_read_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"id\ttext\n1\ta\n")))
    notes: list[str] = []
    assert list(open_input("-", notes.append).entries()) == [(2, {"id": "1", "text": "a"})]
    assert notes == ["- is read as: a table with tabs between the columns"]
    assert size_bytes("-") is None


def test_a_file_is_streamed_and_its_position_known(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"id,text\n")
        for number in range(200_000):
            file.write(b"%d,so many comments in one file\n" % number)
    tracemalloc.start()
    file_read = open_input(str(path), lambda _: None)
    positions = [file_read.position_bytes() for line, _ in file_read.entries() if line % 50_000 == 0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = size_bytes(str(path))
    assert size is not None
    assert positions == sorted(positions)
    assert positions[0] < positions[-1] <= size
    assert peak < size / 10


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_a_row_without_end_is_refused_before_it_fills_the_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "MAX_ROW_CHARACTERS", 100_000)
    path = tmp_path / name
    path.write_bytes(b'text,more\na,b\n"' + b"hello " * 200_000)
    with pytest.raises(FileError, match=r":3 is longer than 100,000 characters"):
        entries(path)
    path.write_bytes(b'text,more\na,b\n"' + b"hello\n" * 200_000)
    if name == "a.csv":
        with pytest.raises(
            FileError, match=r":3 has a quote that does not close, up to line .*, longer than 100,000 characters"
        ):
            entries(path)


@settings(deadline=None, max_examples=300)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    *(
                        b"text",
                        b"id",
                        b'"',
                        b'""',
                        b",",
                        b";",
                        b"\t",
                        b"\n",
                        b"\r",
                        b"\\",
                        b"\0",
                        b"{",
                        b"}",
                        b"[",
                        b"]",
                    ),
                    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"\xe9", "ä".encode(), b"a", b"sep=;"),
                    b'{"id":1,"text":"a"}',
                ]
            ),
            max_size=30,
        ).map(b"".join),
    ),
    packed=st.booleans(),
    name=st.sampled_from(["any.csv", "any.jsonl", "any.txt", "any", "any.csv.gz"]),
    strict=st.booleans(),
)
def test_any_bytes_are_read_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool, name: str, strict: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(gzip.compress(content) if packed else content)
    refused: FileError | None = None
    found: list[tuple[int, object]] = []
    try:
        found = entries(path, strict=strict)
    except FileError as error:
        refused = error
    assert found or re.fullmatch(rf"{re.escape(str(path))}\b.*\.", str(refused), re.DOTALL)
    json.dumps([entry for _, entry in found]).encode()
