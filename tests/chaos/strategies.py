"""Hostile records by the hundred thousand, from hypothesis strategies; equal seeds give equal records."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chaos.corpus import MARK, Headers, HostileRecord, comment, corpus

VARIANTS = 4
"""How many records are made of each that hypothesis makes: it is slow, and likes to repeat itself."""
SOUND_SHARE = 0.3
"""How many variants are comments that keep the contract, so that hostile records have good neighbours."""

Json = Any

words = st.text(max_size=30)
any_text = st.one_of(
    words, st.text(st.characters(codec=None), max_size=20), st.sampled_from(["", " ", "\0", "poison", MARK])
)
"""`codec=None` takes lone surrogates in."""

long_text = st.builds(lambda text, times: text * times, any_text, st.sampled_from([1, 300, 5_000]))
leaves = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), any_text)
json_values: st.SearchStrategy[Json] = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(any_text, inner, max_size=4)),
    max_leaves=6,
)
metadata = st.dictionaries(any_text, json_values, max_size=4)
sound_comments = st.fixed_dictionaries(
    {"id": st.text(min_size=1, max_size=40), "text": st.text(min_size=1, max_size=40).map(MARK.__add__)},
    optional={"author_id": words, "metadata": metadata, "more": json_values},
)
odd_comments = st.fixed_dictionaries(
    {"id": any_text, "text": long_text},
    optional={"language": json_values, "created_at": json_values, "metadata": json_values, "more": json_values},
)


def _encode(value: Json, escaped: bool, indent: int | None) -> bytes:
    return json.dumps(value, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")


shapes = st.one_of(sound_comments, sound_comments, odd_comments, json_values)
written_values = st.builds(_encode, shapes, st.booleans(), st.sampled_from([None, 1]))
values = st.one_of(written_values, written_values, written_values, st.binary(max_size=60), st.none())

header_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
"""librdkafka's Python client takes no others, and ends a name at a NUL."""
header_lists: st.SearchStrategy[Headers] = st.lists(
    st.tuples(header_names, st.one_of(st.none(), st.binary(max_size=20))), max_size=3
).map(tuple)
keys = st.one_of(st.none(), st.binary(max_size=20))
records = st.builds(HostileRecord, keys, values, header_lists)


def generate(count: int, *, seed_number: int, use: Callable[[HostileRecord], None]) -> None:
    """Hand `count` records to `use`: one of the strategies, then variants of it; equal seeds give equal records."""
    chance = Random(seed_number)
    pool = [record.value for record in corpus() if record.value and len(record.value) < 2_000]
    left = count

    @seed(seed_number)
    @settings(
        max_examples=-(-count // (1 + VARIANTS)),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(records)
    def hand_over(record: HostileRecord) -> None:
        nonlocal left
        if record.value and len(record.value) < 2_000:
            pool[chance.randrange(len(pool))] = record.value
        for example in [record, *(_variant(record, pool, chance) for _ in range(VARIANTS))][:left]:
            use(example)
            left -= 1

    cast("Callable[[], None]", hand_over)()
    assert left == 0, f"hypothesis made {count - left} records of {count}"


def _variant(record: HostileRecord, pool: list[bytes], chance: Random) -> HostileRecord:
    """The record with another value: a sound comment, or one that was spoilt a little."""
    if chance.random() < SOUND_SHARE:
        value = comment(id=_characters(chance, 30), text=MARK + _characters(chance, 80))
    else:
        value = _spoilt(chance.choice(pool), chance.choice(pool), chance)
    return record._replace(value=value)


def _characters(chance: Random, most: int) -> str:
    """Any characters but surrogates."""
    points = (chance.choice((chance.randrange(0x80), chance.randrange(0xD800), 0x1F600)) for _ in range(most))
    return "".join(map(chr, points))[: 1 + chance.randrange(most)]


def _spoilt(value: bytes, other: bytes, chance: Random) -> bytes:
    """Bytes replaced by a few others or by a piece of another value."""
    start = chance.randrange(len(value) + 1)
    end = chance.choice((start, start + 1, start + chance.randrange(20), len(value)))
    piece = chance.choice(
        (b"", MARK.encode(), chance.randbytes(chance.randrange(4)), other[chance.randrange(len(other) + 1) :])
    )
    return value[:start] + piece + value[end:]
