"""Records that producers send by mistake or in malice: written by hand, one reason each. `strategies.py` makes more."""

import gzip
import json
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

MARK = "do-not-log-me"
"""Stands in most of the texts and broken values: no log may have it."""

Headers = tuple[tuple[str, bytes | None], ...]


class HostileRecord(NamedTuple):
    """What a producer hands to Kafka."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def corpus() -> Iterator[HostileRecord]:
    """Every hostile value, key and header list there is, each at least once; keys and headers go round."""
    keys, headers = cycle(KEYS), cycle(HEADERS)
    values = [*BROKEN_JSON, *BROKEN_UNICODE, *WRONG_TYPES, *NUMBERS, *large_values(), *ODD_TEXTS, *nested(), *SOUND]
    for value in values:
        yield HostileRecord(next(keys), value, next(headers))
    for key in KEYS:
        yield HostileRecord(key, comment(), next(headers))
    for header_list in HEADERS:
        yield HostileRecord(next(keys), comment(), header_list)
        yield HostileRecord(next(keys), b"{", header_list)


def comment(**fields: object) -> bytes:
    """A comment that keeps the contract, but for what `fields` do to it; escapes whatever is not ASCII."""
    return json.dumps({"id": "h-1", "text": MARK} | fields).encode()


def raw(text: bytes = b"", more: bytes = b"") -> bytes:
    """A comment whose bytes are put together without a JSON encoder, which would mend them."""
    return b'{"id":"h-2","text":"' + MARK.encode() + text + b'"' + more + b"}"


SOUND: tuple[bytes, ...] = (
    comment(),
    comment(text="awful, so it is rejected"),
    comment(
        language="pt-BR", created_at="2026-03-01T09:30:00+05:45", author_id="", thread_id="\0", metadata={"": [{}]}
    ),
    comment(
        metadata={"comment": {"id": 1}, "tags": {}, "schema_version": "9"}, schema_version="9", event_id="not ours"
    ),
)

BROKEN_JSON: tuple[bytes | None, ...] = (
    None,
    b"",
    b" ",
    b"\0",
    b"{",
    b"}",
    b'"',
    b'{"id":"a","text":"do-not-log-me, cut in the midd',
    b'{"id":"a","text":"trailing comma",}',
    b'{"id":"a","text":"two documents"}{"id":"b","text":"two documents"}',
    b'{"id":"a","text":"lines"}\n{"id":"b","text":"lines"}\n',
    b'{"id":"a","text":"garbage behind"} x',
    b'{"id":"a","text":"NUL behind"}\0',
    b"{'id':'a','text':'single quotes'}",
    b'{id:"a",text:"no quotes"}',
    b'/* a comment */ {"id":"a","text":"x"}',
    b'{"id":"a" "text":"no comma"}',
    b'{"id":"a","text":"bad escape \\x41"}',
    b'{"id":"a","text":"bad escape \\u12"}',
    b'{"id":"a","text":"a raw line\nend"}',
    b'{"id":"a","text":"a raw tab\tand NUL\0"}',
    b'\n\r\t {"id":"a",\r\n"text":"white space around"}\r\n\t ',
    b'\x0c{"id":"a","text":"a form feed is no white space"}',
    b'{"id":"a","text":"x","id":"b","text":"duplicate keys"}',
    b'{"id":"a","text":"x","text":7}',
    b'{"id":7,"id":"a","text":"a wrong one first"}',
    b'{"id":"a","text":"x","metadata":{"k":1,"k":[]},"metadata":null}',
    b'{"\\u0069d":"a","text":"an escaped name"}',
    b'{"id":"a","text":"you idiot","te\\u0078t":"have a nice day"}',
    b'{"id":"a","text":"x","metadata":{"text":1,"text":2,"id":{"id":[]}},"type":"text"}',
    gzip.compress(comment(), mtime=0),
    b"\x00\x00\x00\x00\x07\x06h-1\x1ea sound comment",  # Avro behind a schema registry's prefix
    b"\x0a\x03h-1\x12\x0fa sound comment",  # Protobuf
    b"<comment><id>h-1</id></comment>",
)

BROKEN_UNICODE: tuple[bytes, ...] = (
    b"\xef\xbb\xbf" + comment(),  # BOM
    comment().decode().encode("utf-16"),
    comment().decode().encode("utf-16-be"),
    comment().decode().encode("utf-32"),
    raw("naïve café".encode("latin-1")),
    raw(b"overlong \xc0\xaf"),
    raw(b"overlong NUL \xc0\x80"),
    raw(b"a surrogate as UTF-8 \xed\xa0\x80"),
    raw(b"a pair as CESU-8 \xed\xa0\xbd\xed\xb8\x80"),
    raw(b"beyond Unicode \xf4\x90\x80\x80"),
    raw(b"cut \xf0\x9f\x98"),
    raw(b"a lone continuation \x80"),
    raw(b"\xff\xfe"),
    raw(rb"a high surrogate alone \ud83d"),
    raw(rb"a low surrogate alone \ude00"),
    raw(rb"a pair the wrong way round \ude00\ud83d"),
    raw(rb"a sound pair \ud83d\ude00"),
    raw(more=rb',"metadata":{"\ud800":"a surrogate in a name"}'),
    b'{"id":"\\ud800","text":"a surrogate in the id"}',
    b'{"id":"\xff","text":"no UTF-8 in the id"}',
    raw(more=b',"x\xff":1'),
)

WRONG_FIELDS: dict[str, tuple[object, ...]] = {
    "id": (None, 7, -7, 10**20 - 1, 10**20, 1.5, True, [], {}, ["h"], ""),
    "text": (None, 7, 1.5, False, [], {}, ["x"], "", " \t\n", "\u2003\u3000\x85"),
    "language": ("", "e n", "en_US", "-", "x" * 36, 5, "en\n", "ën"),
    "created_at": (
        "",
        "yesterday",
        "2026-03-01",
        "2026-02-30T00:00:00Z",
        "2026-03-01T24:00:00Z",
        0,
        -1e308,
        1_772_357_400_250,
    ),
    "metadata": ([], "x", 1, [[]], False),
    "author_id": (1, [], {}),
    "thread_id": (1, [], {}),
}

WRONG_TYPES: tuple[bytes, ...] = (
    *(b"null", b"true", b"0", b"[]", b"{}", b'""', b'[{"id":"a","text":"in a list"}]', b'"{\\"id\\":\\"a\\"}"'),
    *(comment(**{name: wrong}) for name, wrongs in WRONG_FIELDS.items() for wrong in wrongs),
    comment(created_at="99999-01-01T00:00:00Z"),
    comment(created_at="0000-01-01T00:00:00Z"),
)

NUMBERS: tuple[bytes, ...] = tuple(
    raw(more=b',"metadata":{"n":' + number + b"}")
    for number in (
        *(b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"01", b"+1", b".5", b"1.", b"0x10", b"1_000"),
        *(b"-0", b"1e999", b"-1e999", b"1e-999", b"9" * 400, b"0." + b"1" * 400, b"18446744073709551616", b"1E+2"),
        b"9" * 5_000,  # Python refuses to convert more than 4,300 digits
        b'"NaN"',
    )
)

ODD_TEXTS: tuple[bytes, ...] = tuple(
    comment(text=text)
    for text in (
        "\0",
        "\0" * 50,
        "a\0b",
        "\x1b[2J\x1b[1;31mred\x1b]0;title\x07\x9b31m",
        "\u202eright to left\u202c",
        "\u200b\u200d\ufeff",
        "🏳️‍🌈" * 50,
        "Z̸̢̛" + "\u0301" * 500,
        "http://example.org",
        "\r\n\u2028\u2029\x85 line ends",
        "'; DROP TABLE comments; --",
        "{{7*7}} ${jndi:ldap://x} %s%n %(x)s",
        "poison: the model fails on this one",
        "poison",
    )
)

KEYS: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\0",
    b"k",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "ключ".encode(),
    b"\x1b[2J",
    b"\n",
    b"long" * 2_500,
)

HEADERS: tuple[Headers, ...] = (
    (),
    (("", b""),),
    (("", None), ("", b"x")),
    (("empty", b""), ("none", None), ("nul", b"\0"), ("bytes", bytes(range(256)))),
    (("same", b"1"), ("same", b"2"), ("same", None), ("same", b"1")),
    *((("n" * length, b"v"),) for length in (1, 31, 32, 63, 64, 127, 128, 255, 256, 8_191, 32_767, 40_000)),
    *((("é" * length, b"v"),) for length in (31, 32, 63, 64, 128)),
    (("\x1b[31mred", b"\x1b[2J"), ("line\nend", b"\r\n"), ("🏳️‍🌈", "🏳️‍🌈".encode())),
    (("large", b"v" * 60_000),),
    tuple((f"many-{number}", str(number).encode()) for number in range(400)),
    (("dlq.reason", b"tombstone"), ("dlq.partition", b"-1"), ("dlq.offset", b"forged"), ("dlq.version", b"9.9")),
    (("dlq.topic", None), ("DLQ.REASON", b"x"), ("dlq.", b""), ("dlq.unknown", b"")),
    (("traceparent", b"00-zz"), ("tracestate", b"=" * 600), ("content-type", b"application/avro")),
)


def large_values() -> Iterator[bytes]:
    """At and over the limits of the contract, and near the input topic's own of 1 MB."""
    for length in (10_001, 20_479, 20_480, 20_481):
        yield comment(text="x" * length)
        yield json.dumps({"id": "h-3", "text": "😀" * length}, ensure_ascii=False).encode()
        yield comment(text=" " * 50_000 + "y" * length + "\n" * 50_000)
    for length in (256, 257, 100_000):
        yield comment(id="i" * length)
        yield comment(id="\x1b" * length)
    yield comment(text="a million " * 90_000)
    yield comment(text="\0" * 150_000)
    yield comment(metadata={"filler": "f" * 900_000})
    yield comment(metadata={str(number): number for number in range(50_000)})
    yield comment(**{f"field-{number}": None for number in range(20_000)})
    yield b"x" * 950_000
    yield b"\xff" * 950_000
    yield b"[" + b"0," * 450_000 + b"0]"


def nested() -> Iterator[bytes]:
    """Nesting around where JSON parsers stop, inside a comment and alone, closed and left open."""
    for depth in (50, 120, 180, *range(186, 204), 255, 1_000, 20_000):
        yield raw(more=b',"metadata":{"d":' + b"[" * depth + b"]" * depth + b"}")
        yield raw(more=b',"d":' + b'{"a":' * depth + b"0" + b"}" * depth)
        yield b"[" * depth
        yield b'{"id":' * depth
