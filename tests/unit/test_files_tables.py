"""Tables: whatever a spreadsheet, a database or a script writes is read as it was meant, or refused with the line."""

from pathlib import Path

import pytest
from hypothesis import find, given, settings

from consumer.files import FileError, open_input
from tests.table_checks import (
    Miswritten,
    Written,
    check_comes_back,
    check_loses_no_row,
    forgiving,
    miswritten_tables,
    read,
    tables,
)


def numbered(path: Path) -> list[tuple[int, dict[str, str] | str]]:
    return list(open_input(str(path), lambda _: None).entries())


def written(tmp_path: Path, content: bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'id,text\n1,"hello\n2,world\n3,foo\n', 2),
        (b'id,text\r1,a\r2,"hello\r3,foo', 3),
        (b'id,text\n1,a\n2,"two\nlines"\n"3,b\n', 5),
        (b'id,text,more\n1,"two\nlines","open\n2,b,c\n', 3),
        (b'id, text\n1, "open\n2, b\n', 2),
        (b'id,text\n1,"said ""so\n2,b\n', 2),
        (b'id,text\n1,"hello\n2,"world"\n', 2),
    ],
)
def test_a_quote_that_does_not_close_is_an_error_with_the_line_where_it_began(
    content: bytes, line: int, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=rf"a\.csv:{line} has a quote"):
        read(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"id,text,price\n7,naive,1.5\n", ""),
        (b"id,text,price\r7,naive,1.5\r", ""),
        (b"id,text,price\r\n7,naive,1.5\r\n", ""),
        (b"id,text,price\n7,naive,1.5", ""),
        (b'id, text, price\n7, "naive", 1.5\n', ""),
        (b"\xef\xbb\xbfid,text,price\n7,naive,1.5\n", ""),
        (b"id;text;price\n7;naive;1.5\n", "semicolons"),
        (b"id\ttext\tprice\n7\tnaive\t1.5\n", "tabs"),
        (b"id|text|price\n7|naive|1.5\n", "pipes"),
        (b"sep=;\r\nid;text;price\r\n7;naive;1.5\r\n", "semicolons"),
        ("id,text,price\n7,naive,1.5\n".encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + "id\ttext\tprice\n7\tnaive\t1.5\n".encode("utf-16-be"), "UTF-16, tabs"),
        (b"id,text,price\n\n7,naive,1.5\n\n", ""),
        (b"id,text,price,\n7,naive,1.5,\n", "columns without a name left out"),
        (b",id,text,price\n0,7,naive,1.5\n", "columns without a name left out"),
    ],
)
def test_however_a_table_is_written_its_rows_are_the_same_and_what_is_unusual_is_said(
    content: bytes, note: str, tmp_path: Path
) -> None:
    notes: list[str] = []
    rows = [row for _, row in open_input(str(written(tmp_path, content)), notes.append).entries()]
    assert rows == [{"id": "7", "text": "naive", "price": "1.5"}]
    assert [said.removeprefix(f"{tmp_path / 'a.csv'} is read as: ").split(" between")[0] for said in notes] == [
        note
    ] * bool(note)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b'id,text\n1,"say \\"hi\\", ok"\n2,"C:\\\\x"\n', ['say "hi", ok', "C:\\x"]),
        (b'id,text\n1,"ends in \\","\n', ["FileError"]),
        (b'id,text\n1,"C:\\"\n2,"D:\\"\n', ["C:\\", "D:\\"]),
        (b'id,text\n1,a 5" screen\n', ['a 5" screen']),
        (b"text\nhello, you\nmore; or less\n", ["hello, you", "more; or less"]),
        (b'text\n"hello, you"\n', ["hello, you"]),
        (b"id;text\n1;costs 3,50, not 4\n", ["costs 3,50, not 4"]),
        (b'id,text\n1,"two\r\nlines"\r\n', ["two\r\nlines"]),
        (b"id,text\n1,a\0b\n", ["a\0b"]),
        ("id,text\n1,a\u2028b\x85c\n".encode(), ["a\u2028b\x85c"]),
        (b"id,text,more\n1,a\n2,b,\n", ["a", "b"]),
        (b"id,text\n1,a,,\n", ["a"]),
        (b"id,text\n1,caf\xe9\n", ["caf\udce9"]),
    ],
)
def test_cells_come_out_as_they_were_meant(content: bytes, texts: list[str], tmp_path: Path) -> None:
    try:
        assert [row["text"] for row in read(written(tmp_path, content))] == texts
    except FileError:
        assert texts == ["FileError"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"id,text\n1,a\n2,b,c\n", r":3 has 3 cells where the header has 2"),
        (b"id,text,more\n1,a,b\n2\n", r":3 has 1 of the 3 cells that the header names, and none for the text"),
        (b"text,id,text\n1,2,3\n", ":1 has two columns named text; rename one"),
        (b"id,a,a,text\n1,2,3,4\n", ":1 has two columns named a; rename one"),
        (b"id,Text\n1,a\n", r":1 has no column named text \(it has: id, Text\); name the column Text text"),
        (b"id;COMMENT;x\n1;a;b\n", r":1 has no column named text \(it has: id, COMMENT, x\)"),
        (b"1,hello\n2,you\n", ":1 has no column named text"),
        (b"\n\n", ":1 has no column named text"),
        (b"", "holds no rows"),
        (b"id,text\n", "holds no rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_the_line_and_the_remedy(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=sentence):
        read(written(tmp_path, content))


def test_rows_are_numbered_by_the_line_where_they_begin(tmp_path: Path) -> None:
    content = b'sep=,\nid,text\n1,"two\nlines"\n\n2,b\n'
    assert [line for line, _ in numbered(written(tmp_path, content))] == [3, 6]


def test_what_is_sniffed_holds_beyond_the_first_block_too(tmp_path: Path) -> None:
    rows = b"".join(b"%d;so, well\n" % number for number in range(20_000))
    path = written(tmp_path, b"id;text\n" + rows)
    assert len(read(path)) == 20_000
    path.write_bytes(b"id;text\n" + rows + b'1;"never closed\n' + rows)
    with pytest.raises(FileError, match=r"a\.csv:20002 has a quote that does not close, up to line 40002"):
        read(path)


@settings(deadline=None)
@given(table=tables())
def test_any_table_that_csv_writes_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, table: Written) -> None:
    check_comes_back(read, tmp_path_factory.getbasetemp() / "written.csv", table)


@settings(deadline=None)
@given(table=miswritten_tables())
def test_one_quote_too_many_never_makes_fewer_rows(tmp_path_factory: pytest.TempPathFactory, table: Miswritten) -> None:
    check_loses_no_row(read, tmp_path_factory.getbasetemp() / "miswritten.csv", table)


def test_the_check_finds_a_reader_that_loses_rows_behind_a_quote(tmp_path: Path) -> None:
    def loses(table: Miswritten) -> bool:
        try:
            check_loses_no_row(forgiving, tmp_path / "a.csv", table)
        except AssertionError:
            return True
        return False

    found = find(miswritten_tables(), loses, settings=settings(database=None, deadline=None))
    assert found.rows == 2
