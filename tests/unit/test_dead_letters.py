"""Dead letters: their headers, what is counted as one, what a replay chooses, and how one is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from typer.testing import CliRunner

from consumer.batch import Headers, Record
from consumer.cli import app
from consumer.dead_letters import Contents, DeadLetter, Position, Selection, WholeLetter, plan
from consumer.kafka import replay
from consumer.kafka.embedded import is_embedded
from consumer.kafka.replay import transactions_of
from consumer.terminal.dead_letter_show import field_text, hex_dump, value_lines
from consumer.terminal.dead_letters import as_object, moment, summarise
from consumer.terminal.printing import counted, print_uncut
from schemas import DeadLetterHeaders, DeadLetterReason
from schemas.dead_letter import from_kafka, receipt_from_kafka, receipt_to_kafka, replay_headers, to_kafka

NOT_JSON, TOO_LARGE = DeadLetterReason.NOT_JSON, DeadLetterReason.RESULT_TOO_LARGE


def headers(source_offset: int = 7, reason: DeadLetterReason = NOT_JSON) -> list[tuple[str, bytes]]:
    return to_kafka(DeadLetterHeaders(reason=reason, detail="", topic="comments", partition=3, offset=source_offset))


def record(partition: int, offset: int, of_it: Headers, written_ms: int = 1_000) -> Record:
    return Record("comments.dead-letter", partition, offset, written_ms, b"key", b"value", of_it)


def contents(*records: Record) -> Contents:
    found = Contents()
    for one in records:
        found.add(one)
    return found


def positions(letters: list[DeadLetter]) -> list[Position]:
    return [letter.position for letter in letters]


def test_a_dead_letter_without_attempts_has_none_and_carries_no_header_for_them() -> None:
    assert from_kafka(headers()).attempts == 0
    assert "dlq.attempts" not in dict(headers())


def test_the_attempts_that_a_replay_gave_its_record_are_read_when_it_fails_again() -> None:
    replayed = replay_headers([("number", b"1"), *headers()], attempts=2)
    assert replayed == [("number", b"1"), ("dlq.attempts", b"2")]
    assert from_kafka([*replayed, *headers()]).attempts == 2
    assert replay_headers([*replayed, *headers()], attempts=3) == [("number", b"1"), ("dlq.attempts", b"3")]


@pytest.mark.parametrize("nonsense", [b"", b"-1", b"many", b"\xff", b"1e9", b"9" * 5_000, b" 1", None])
def test_nonsense_in_a_producers_own_attempts_header_counts_as_no_attempts(nonsense: bytes | None) -> None:
    assert from_kafka([("dlq.attempts", nonsense), *headers()]).attempts == 0


def test_a_receipt_names_the_dead_letter_that_was_replayed() -> None:
    assert receipt_from_kafka(receipt_to_kafka(3, 51_873)) == (3, 51_873)
    with pytest.raises(ValueError, match=r"dlq\.reason"):
        from_kafka(receipt_to_kafka(3, 51_873))


@pytest.mark.parametrize("forged", [b"3", b"a:b", b"3:-1", b"3:4:5", b"\xff:1", b"1:" + b"9" * 5_000, None])
def test_a_header_that_names_no_place_is_no_receipt(forged: bytes | None) -> None:
    assert receipt_from_kafka([("dlq.replayed", forged)]) is None


def test_a_producer_cannot_forge_a_receipt_with_a_header_of_its_own() -> None:
    found = contents(record(0, 1, headers(1)), record(0, 2, [("dlq.replayed", b"0:1"), *headers(2)]))
    assert found.receipts == set()
    assert positions(found.letters) == [(0, 1), (0, 2)]


@given(st.lists(st.tuples(st.text(), st.none() | st.binary(max_size=20)), max_size=5))
def test_any_record_can_be_sorted_in(hostile: list[tuple[str, bytes | None]]) -> None:
    found = contents(record(0, 1, hostile), record(0, 2, [*hostile, *headers()]))
    assert positions(found.letters)[-1:] == [(0, 2)]
    assert len(found.letters) + found.others + len(found.receipts) == 2


def test_dead_letters_are_counted_by_reason_with_what_was_replayed_and_the_other_records() -> None:
    found = contents(
        record(0, 1, headers(1), written_ms=2_000),
        record(0, 2, [("dlq.attempts", b"2"), *headers(2)], written_ms=1_000),
        record(1, 1, headers(3, TOO_LARGE), written_ms=3_000),
        record(1, 2, [("traceparent", b"00")]),
        record(0, 3, receipt_to_kafka(0, 1)),
    )
    summary = as_object("dlq", summarise(found, Selection()))
    assert summary == {
        "topic": "dlq",
        "dead_letters": 3,
        "replayed": 1,
        "other_records": 1,
        "reasons": [
            {
                "reason": "not-json",
                "dead_letters": 2,
                "replayed": 1,
                "most_attempts": 2,
                "oldest": "1970-01-01T00:00:01Z",
                "newest": "1970-01-01T00:00:02Z",
                "newest_at": "0:1",
            },
            {
                "reason": "result-too-large",
                "dead_letters": 1,
                "replayed": 0,
                "most_attempts": 0,
                "oldest": "1970-01-01T00:00:03Z",
                "newest": "1970-01-01T00:00:03Z",
                "newest_at": "1:1",
            },
        ],
    }


def test_what_has_a_receipt_is_not_chosen_again() -> None:
    found = contents(record(0, 1, headers(1)), record(0, 2, headers(2)), record(0, 3, receipt_to_kafka(0, 1)))
    planned = plan(found, Selection(), max_attempts=3)
    assert positions(planned.letters) == [(0, 2)]
    assert planned.replayed_before == 1


def test_two_dead_letters_of_one_record_are_replayed_once() -> None:
    found = contents(record(0, 1, headers(1)), record(2, 1, headers(1)), record(2, 2, headers(2)))
    planned = plan(found, Selection(), max_attempts=3)
    assert (positions(planned.letters), planned.copies) == ([(0, 1), (2, 2)], 1)
    found.receipts.add(Position(2, 1))
    planned = plan(found, Selection(), max_attempts=3)
    assert (positions(planned.letters), planned.replayed_before) == ([(2, 2)], 2)


def test_what_was_replayed_too_often_is_left() -> None:
    found = contents(
        record(0, 1, [("dlq.attempts", b"2"), *headers(1)]), record(0, 2, [("dlq.attempts", b"3"), *headers(2)])
    )
    planned = plan(found, Selection(), max_attempts=3)
    assert (positions(planned.letters), planned.exhausted) == ([(0, 1)], 1)


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), [(0, 1), (0, 2), (1, 1)]),
        (Selection(reasons=frozenset([TOO_LARGE])), [(1, 1)]),
        (Selection(since_ms=2_000), [(0, 2), (1, 1)]),
        (Selection(until_ms=2_000), [(0, 1)]),
        (Selection(since_ms=2_000, until_ms=3_000), [(0, 2)]),
        (Selection(positions=frozenset([Position(0, 2), Position(1, 1)])), [(0, 2), (1, 1)]),
        (Selection(positions=frozenset([Position(0, 2)]), reasons=frozenset([TOO_LARGE])), []),
    ],
)
def test_a_selection_takes_what_meets_every_condition(selection: Selection, chosen: list[tuple[int, int]]) -> None:
    found = contents(
        record(0, 1, headers(1), 1_000), record(0, 2, headers(2), 2_000), record(1, 1, headers(3, TOO_LARGE), 3_000)
    )
    assert positions(plan(found, selection, max_attempts=3).letters) == chosen


def test_a_place_without_a_dead_letter_is_missed() -> None:
    found = contents(record(0, 1, headers(1)), record(0, 2, []))
    wanted = frozenset([Position(0, 1), Position(0, 2), Position(9, 9)])
    assert plan(found, Selection(positions=wanted), max_attempts=3).missing == [(0, 2), (9, 9)]


def test_transactions_are_bounded_in_records_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "TRANSACTION_RECORDS", 3)
    monkeypatch.setattr(replay, "TRANSACTION_BYTES", 100)
    sizes = [1, 1, 1, 1, 99, 1, 500, 1]
    (letter,) = contents(record(0, 0, headers())).letters
    letters = [WholeLetter(letter, record(0, n, [])._replace(value=b"x" * size)) for n, size in enumerate(sizes)]
    batches = [[len(whole.record.value or b"") for whole in batch] for batch in transactions_of(letters)]
    assert batches == [[1, 1, 1], [1, 99], [1, 500], [1]]


def test_only_the_mock_clusters_id_is_embedded() -> None:
    assert is_embedded("mockCluster157f671c6c2c")
    assert not is_embedded("4L6g3nShT-eMCtK--X86sw")
    assert not is_embedded(None)


@given(
    st.none() | st.binary(max_size=3_000) | st.text(max_size=3_000).map(lambda text: text.encode("utf-8", "replace"))
)
def test_no_byte_of_a_record_can_steer_the_terminal(value: bytes | None) -> None:
    for full in (False, True):
        for line in [field_text(value, full=full), *value_lines(value, full=full)]:
            assert line.isprintable()


def test_a_long_value_is_cut_with_a_note_unless_all_of_it_is_asked_for() -> None:
    text, binary = ("ä" * 1_000_000).encode(), b"\xff" * 1_000_000
    assert value_lines(text, full=False) == [
        "value, 2,000,000 bytes of UTF-8:",
        "ä" * 1_000 + " … 1,998,000 bytes more: --full shows all",
    ]
    assert value_lines(text, full=True)[1:] == ["ä" * 1_000_000]
    assert len(value_lines(binary, full=False)) == 34
    assert value_lines(binary, full=False)[-1] == " … 999,488 bytes more: --full shows all"
    assert len(value_lines(binary, full=True)) == 1 + 62_500


def test_a_cut_through_a_character_does_not_make_text_binary() -> None:
    assert value_lines(b"x" + ("ä" * 1_000).encode(), full=False)[1].startswith("x" + "ä" * 999 + " … ")


def test_bytes_that_are_no_text_are_dumped() -> None:
    assert hex_dump(b"\x00\x1b[31m\xff0123456789ab") == [
        "00000000  00 1b 5b 33 31 6d ff 30 31 32 33 34 35 36 37 38  |..[31m.012345678|",
        "00000010  39 61 62                                         |9ab|",
    ]
    assert field_text(b"\xff\x00", full=False) == "(hex) ff 00"


@pytest.mark.parametrize("columns", ["20", "500"])
def test_a_table_is_printed_whole_however_narrow_the_terminal_is(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = Table("a column that is wide", "another")
    table.add_row("x" * 150, "to be copied")
    print_uncut(table)
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if "x" in line]
    assert "x" * 150 in row
    assert "to be copied" in row
    assert "…" not in printed


def test_one_is_counted_in_the_singular() -> None:
    assert [counted(n, "dead letter") for n in (0, 1, 2_000)] == [
        "0 dead letters",
        "1 dead letter",
        "2,000 dead letters",
    ]


def test_a_timestamp_that_is_no_date_is_shown_as_a_number() -> None:
    assert moment(1_772_357_400_913) == "2026-03-01T09:30:00.913Z"
    assert moment(10**18) == f"{10**18} ms"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["replay"], "Choose dead letters by"),
        (["replay", "--all", "--reason", "not-json"], "Choose dead letters by"),
        (["replay", "--since", "yesterday"], "no RFC 3339 time"),
        (["replay", "--since", "1700000000"], "no RFC 3339 time"),
        (["replay", "--offset", "17"], "PARTITION:OFFSET"),
        (["replay", "--all", "--max-attempts", "0"], "--max-attempts"),
        (["list", "--reason", "because"], "because"),
        (["show", "3:-1"], "PARTITION:OFFSET"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["dead-letters", *arguments])
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.replace("│", " ").split())
