"""`moderate dead-letters show`: one record of the dead-letter topic, safe for a terminal."""

import sys
from collections.abc import Callable
from contextlib import closing

from rich.text import Text

from consumer.batch import Record
from consumer.dead_letters import Position
from consumer.errors import ReaderError
from consumer.kafka.clients import make_admin
from consumer.kafka.dead_letters import dead_letter_reader
from consumer.kafka.reading import OffsetRange, offset_ranges, read_batches
from consumer.kafka.topics import reach
from consumer.settings import Settings
from consumer.terminal.dead_letters import IDLE_S, moment
from consumer.terminal.printing import SafeConsole
from consumer.terminal.text import printable
from schemas.dead_letter import from_kafka, receipt_from_kafka

TEXT_SHOWN_BYTES, HEX_SHOWN_BYTES = 2_000, 512
FIELD_SHOWN_BYTES = 300
HEADERS_SHOWN = 50
HEX_BYTES_PER_LINE = 16


class NoSuchRecordError(ReaderError):
    """There is no record at that place of the topic."""


def show_dead_letter(
    settings: Settings, position: Position, *, raw: bool, full: bool, stopping: Callable[[], bool]
) -> None:
    """Print the record at `position` of the dead-letter topic, or with `raw` its value's exact bytes and nothing else.

    Raises `NoSuchRecordError` when there is none, `KafkaUnavailableError` when the topic cannot be read, `ReaderError`
    for `raw` on a terminal.
    """
    if raw and sys.stdout.isatty():
        raise ReaderError("--raw writes bytes that a terminal may obey; send them into a file or a pipe.")
    record = _read(settings, position, stopping)
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        sys.stdout.buffer.flush()
        return
    console = SafeConsole(soft_wrap=True)
    for label, text in [*_about(record), *_headers(record, full=full)]:
        console.print(Text.assemble((f"{label:<10}", "bold"), text))
    for line in value_lines(record.value, full=full):
        console.print(Text(line))


def _read(settings: Settings, position: Position, stopping: Callable[[], bool]) -> Record:
    reach(make_admin(settings), settings)
    topic = settings.dead_letter_topic
    partition, offset = position
    with closing(dead_letter_reader(settings)) as consumer:
        ranges = offset_ranges(consumer, topic)
        there = ranges.get(partition)
        if there is None:
            raise NoSuchRecordError(f"{topic} has no partition {partition}; it has {', '.join(map(str, ranges))}.")
        if there.low <= offset < there.high:
            starts, ends = {partition: offset}, {partition: offset + 1}
            for records in read_batches(consumer, topic, starts, ends, idle_s=IDLE_S, stopping=stopping):
                if records:
                    return records[0]
    raise NoSuchRecordError(f"{topic} has no record at {position}: partition {partition} {_holds(there)}")


def _holds(there: OffsetRange) -> str:
    if there.low == there.high:
        return "is empty."
    return (
        f"has offsets {there.low} to {there.high - 1}; the marks of transactions among them are no records. "
        "`moderate dead-letters list` names some that are there."
    )


def _about(record: Record) -> list[tuple[str, str]]:
    """What kind of record it is, in the words of the contract."""
    place = f"{record.partition}:{record.offset} of {record.topic}"
    written = ("written", moment(record.timestamp_ms or 0))
    if replayed := receipt_from_kafka(record.headers):
        return [("receipt", place), written, ("meaning", f"{Position(*replayed)} was replayed")]
    try:
        headers = from_kafka(record.headers)
    except ValueError as error:
        return [("record", place), written, ("but", printable(str(error)))]
    source = f"{headers.topic} {headers.partition}:{headers.offset}"
    if headers.timestamp is not None:
        source += f", {moment(headers.timestamp)}"
    return [
        ("letter", place),
        written,
        ("reason", f"{headers.reason}: {printable(headers.detail)}"),
        ("source", printable(source)),
        ("attempts", str(headers.attempts)),
    ]


def _headers(record: Record, *, full: bool) -> list[tuple[str, str]]:
    shown = record.headers if full else record.headers[:HEADERS_SHOWN]
    lines = [("key", field_text(record.key, full=full))]
    lines += [
        ("header", f"{field_text(name.encode(errors='replace'), full=full)} = {field_text(value, full=full)}")
        for name, value in shown
    ]
    if len(shown) < len(record.headers):
        lines.append(("header", f"… and {len(record.headers) - len(shown):,} more: --full shows all"))
    return lines


def field_text(value: bytes | None, *, full: bool) -> str:
    """A key, or a header's name or value, on one line: as text where it is UTF-8, else in hexadecimal."""
    if value is None:
        return "(none)"
    if not value:
        return "(empty)"
    shown = value if full else value[:FIELD_SHOWN_BYTES]
    text = _text(value, len(shown))
    note = _cut_note(len(value) - len(shown))
    return f"(hex) {shown.hex(' ')}{note}" if text is None else f"{printable(text)}{note}"


def value_lines(value: bytes | None, *, full: bool) -> list[str]:
    """The value, with a line in front that says what follows: text where it is UTF-8, else a hex dump."""
    if value is None:
        return ["(no value: a tombstone)"]
    text = _text(value, len(value) if full else TEXT_SHOWN_BYTES)
    if text is not None:
        note = _cut_note(0 if full else len(value) - TEXT_SHOWN_BYTES)
        return [f"value, {len(value):,} bytes of UTF-8:", printable(text) + note]
    shown = value if full else value[:HEX_SHOWN_BYTES]
    return [
        f"value, {len(value):,} bytes, not UTF-8:",
        *hex_dump(shown),
        *filter(None, [_cut_note(len(value) - len(shown))]),
    ]


def hex_dump(value: bytes) -> list[str]:
    """Lines of offset, bytes and the ASCII among them, as `hexdump -C` prints them."""
    lines = []
    for start in range(0, len(value), HEX_BYTES_PER_LINE):
        part = value[start : start + HEX_BYTES_PER_LINE]
        ascii_of_it = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{3 * HEX_BYTES_PER_LINE}} |{ascii_of_it}|")
    return lines


def _text(value: bytes, shown_bytes: int) -> str | None:
    """The beginning as text, without the half of a character at the cut; None when the whole value is not UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return None
    return value[:shown_bytes].decode(errors="ignore")


def _cut_note(bytes_left: int) -> str:
    return f" … {bytes_left:,} bytes more: --full shows all" if bytes_left > 0 else ""
