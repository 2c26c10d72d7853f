"""What the fuzzing gives to each way in, and what must hold of it. A check raises AssertionError for what breaks it."""

import json
import re
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, cast

from hypothesis import strategies as st
from pydantic_core import from_json

from consumer.batch import Decoded, Item, Lease, Refusal
from consumer.decode import decode
from consumer.model.cleaning import clean
from consumer.outputs import Outputs, now_rfc3339
from consumer.policy import Policy
from consumer.text_limit import UNSEEN
from consumer.verdict import Judge
from schemas import MAX_TEXT_CHARACTERS, ModelInfo, TaggedComment
from tests.chaos.hostile import as_promised
from tests.chaos.strategies import json_values, metadata
from tests.fakes import TAG_GROUPS, WordEngine, record
from tests.http_serving import Server
from tests.pipeline_bench import Bench
from tests.text_checks import check_cleaning, check_in_time
from tests.text_strategies import texts

Check = Callable[[Any], object]


class Target(NamedTuple):
    """One way in: its name, what is given to it, and what must hold."""

    name: str
    inputs: st.SearchStrategy[Any]
    check: Check


class CleaningEngine(WordEngine):
    """Answers at once, to texts that are cleaned as the bundled model's are."""

    def model_text(self, text: str) -> str:
        return clean(text)


WHITE_SPACE = "".join(c for c in map(chr, range(0x110000)) if c.isspace() and not "\x1c" <= c <= "\x1f")
"""As Unicode has it, and so pydantic; Python counts four separators more."""

names = st.sampled_from(["id", "text", "language", "created_at", "author_id", "thread_id", "metadata", "more"])
_escaped_names = names.map(lambda name: f'"\\u{ord(name[0]):04x}{name[1:]}"') | names.map(json.dumps)
_written = st.builds(
    lambda value, escaped: json.dumps(value, ensure_ascii=escaped),
    st.one_of(texts(), json_values, metadata, st.integers()),
    st.booleans(),
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A comment as somebody's program writes it: names escaped or twice, any values, a byte order mark, a cut end."""
    members = [('"id"', draw(_written)), ('"text"', json.dumps(draw(texts())))]
    members += draw(st.lists(st.tuples(_escaped_names, _written), max_size=4))
    blank = draw(st.sampled_from(["", "", " ", "\n", "\r\n\t"]))
    inside = ",".join(f"{blank}{name}{blank}:{blank}{value}" for name, value in draw(st.permutations(members)))
    value = f"{blank}{{{inside}}}{blank}".encode("utf-8", "surrogatepass")
    cut = draw(st.sampled_from([len(value)] * 9 + [len(value) // 2]))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + value[:cut]


def judged_beginning(text: str) -> str:
    """What the contract says is judged."""
    return counted(text)[:MAX_TEXT_CHARACTERS]


def counted(text: str) -> str:
    """All that counts towards what is judged, read a character at a time."""
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    kept: list[str] = []
    for is_unseen, run in groupby(text, lambda character: bool(re.match(rf"[\s{UNSEEN}]", character))):
        characters = list(run)
        if is_unseen and len(characters) > 1:
            characters = [" "] if any(character.isspace() for character in characters) else []
        kept += characters
    return "".join(kept)


def check_record(value: bytes) -> None:
    """It is refused, or comes out in an event that its contract can read, and as it was sent."""
    decoded = decode(value)
    if isinstance(decoded, Refusal):
        assert decoded.detail
        return
    assert isinstance(decoded, Decoded)
    promised = as_promised(value)
    assert decoded.comment_id == promised["id"]
    assert decoded.text == judged_beginning(promised["text"].strip(WHITE_SPACE))
    for include_text in (True, False):
        event = _event(value, decoded, include_text=include_text)
        assert b"\n" not in event
        assert TaggedComment.model_validate_json(event).truncated is decoded.is_cut
        expected = promised if include_text else {name: v for name, v in promised.items() if name != "text"}
        assert from_json(event)["comment"] == expected


def _event(value: bytes, decoded: Decoded, *, include_text: bool) -> bytes:
    judge = Judge(tags_of=TAG_GROUPS.tags, model=ModelInfo(name="words", version="1"), policy=Policy())
    outputs = Outputs(results_topic="results", dead_letter_topic="dead", include_text=include_text, judge=judge)
    (answer,) = WordEngine().classify([""])
    item = Item(record(value), Lease("comments", 0), comment=decoded, answer=cast(Any, answer))
    message = outputs.message(item, now_rfc3339())
    assert not message.is_dead_letter, message.headers
    return message.value or b""


def check_stream(values: list[bytes]) -> None:
    """In = tagged + dead letters, each once, in order; dead letters are byte for byte what came in."""
    bench = Bench(engine=CleaningEngine())
    bench.run(bench.batch(*values[: len(values) // 2]), bench.batch(*values[len(values) // 2 :]))
    published = bench.checkpoint.published
    assert [message.record.offset for message in published] == list(range(len(values)))
    assert all(message.value == values[message.record.offset] for message in published if message.is_dead_letter)


_bodies = st.one_of(
    records(),
    st.lists(texts(), min_size=1, max_size=4).map(lambda some: json.dumps({"texts": some}).encode()),
    texts().map(lambda text: json.dumps({"text": text}, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.builds(
        lambda text, more: json.dumps({"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}} | more),
        texts(),
        st.dictionaries(
            st.sampled_from(["languages", "context", "doNotStore", "clientToken"]), json_values, max_size=2
        ),
    ).map(str.encode),
    st.binary(max_size=300),
)
requests = st.tuples(st.sampled_from(["/predict", "/v1alpha1/comments:analyze"]), _bodies)

EXPECTED_STATUSES = (200, 400, 413, 422)


def check_http(server: Server, request: tuple[str, bytes]) -> None:
    """It is answered, or refused with a sentence; never a fault of the server, never in the caller's words."""
    path, body = request
    reply = server.ask("POST", path, body)
    assert reply.status in EXPECTED_STATUSES, f"{reply.status} {reply.body}"
    if reply.status != 200:
        assert reply.body["error"]["message"]


def targets(server: Server, model_text: Callable[[str], str]) -> list[Target]:
    """Every way in; HTTP by way of `server`, and `model_text` is the bundled model's."""
    return [
        Target("cleaning", texts(), partial(check_cleaning, clean)),
        Target("what the model sees", texts(), partial(check_in_time, model_text)),
        Target("records", records(), check_record),
        Target("stream", st.lists(records(), min_size=2, max_size=40), check_stream),
        Target("http", requests, partial(check_http, server)),
    ]
