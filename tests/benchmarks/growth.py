"""Section "growth": what a comment costs as the topic, the number of keys and the texts grow.

Processor time, not time that passes: it moves little where other work runs. What grows in proportion has a ratio of 1.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from consumer.terminal.bench_figures import measured
from tests.benchmarks import corpus
from tests.benchmarks.contenders import lane, ours, running
from tests.benchmarks.engine_process import EngineProcess
from tests.benchmarks.engines import OURS, started
from tests.benchmarks.exported import plain_engine
from tests.benchmarks.rig import STARTED_WITHIN_S, Rig, StreamError, rig
from tests.benchmarks.sampling import Figure, Point, Run, in_turns, ratio
from tests.benchmarks.table import number
from tests.waiting import wait_until

COMMENTS = (10_000, 40_000, 160_000)
KEYS, KEYED = (1, 100, 10_000), 40_000
CHARACTERS = (100, 1_000, 10_000)
"""The last length is the longest that a comment may have."""
MOST_CHARACTERS, MOST_LONG = 20_000_000, 10_000
"""They fit into the embedded broker."""
CLEANED = 50
WORDS, MODEL_TEXTS = (8, 64, 256), 64
WARM_UP_COMMENTS = 500
ROUNDS = 3
CPU = "µs CPU a comment"


def run(told: Run) -> list[Figure]:
    """A model that answers at once shows what the host does; then the cleaning alone, and the model alone."""
    rounds = 1 if told.quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as directory, rig(Path(directory)) as here:
        return [
            *_by_comments(here, rounds),
            *_by_keys(here, rounds),
            *_by_characters(here, rounds),
            *_cleaning(),
            *_model(told),
        ]


def _by_comments(here: Rig, rounds: int) -> Iterator[Figure]:
    topics = {count: here.filled(corpus.unique(count)) for count in COMMENTS}
    turns = {count: partial(_member_cpu_us, here, topic, count) for count, topic in topics.items()}
    return growth("the host", "comments in the topic", CPU, in_turns(turns, rounds), by_size=False)


def _by_keys(here: Rig, rounds: int) -> Iterator[Figure]:
    texts = corpus.unique(KEYED)
    topics = {keys: here.filled(texts, (f"k-{number % keys}" for number in range(KEYED))) for keys in KEYS}
    turns = {keys: partial(_member_cpu_us, here, topic, KEYED) for keys, topic in topics.items()}
    return growth("the host with keys", "different keys", CPU, in_turns(turns, rounds), by_size=False)


def _by_characters(here: Rig, rounds: int) -> Iterator[Figure]:
    counts = {length: min(MOST_LONG, MOST_CHARACTERS // length) for length in CHARACTERS}
    topics = {length: here.filled(corpus.of_characters(count, length)) for length, count in counts.items()}
    turns = {length: partial(_member_cpu_us, here, topic, counts[length]) for length, topic in topics.items()}
    return growth("the host with long texts", "characters a comment", CPU, in_turns(turns, rounds), by_size=True)


def _member_cpu_us(here: Rig, comments: str, count: int) -> float:
    """Of a member that has warmed up, a comment, until the last of `count` is published."""
    where = lane(here, comments)
    with running(here, "growth", ours(model=False)(where)) as member:

        def published(wanted: int) -> bool:
            member.raise_if_dead()
            time.sleep(0.02)
            return here.look(where.output).results >= wanted

        wait_until(partial(published, WARM_UP_COMMENTS), STARTED_WITHIN_S)
        before_s, first = _cpu_s(member.process.pid), here.look(where.output).results
        if first == count:
            raise StreamError(f"all {count} results came at once: too few to tell a cost")
        wait_until(partial(published, count), STARTED_WITHIN_S)
        return 1e6 * (_cpu_s(member.process.pid) - before_s) / (count - first)


def _cleaning() -> Iterator[Figure]:
    """The text as the model sees it, from a text of so many characters."""
    engine = plain_engine()

    def clean(texts: Sequence[str]) -> float:
        began_s = time.process_time()
        for text in texts:
            engine.model_text(text)
        return 1e6 * (time.process_time() - began_s) / len(texts)

    turns = {length: partial(clean, corpus.of_characters(CLEANED, length)) for length in CHARACTERS}
    return growth("cleaning", "characters a comment", CPU, in_turns(turns, ROUNDS), by_size=True)


def _model(told: Run) -> Iterator[Figure]:
    """The model, on texts of so many words; what it is given is cleaned already."""
    with ExitStack() as stack:
        turns = {}
        for words in WORDS:
            engines = stack.enter_context(started((OURS,), told, corpus.of_words(MODEL_TEXTS, words)))
            turns[words] = partial(_model_us, engines[OURS])
        return growth("the model", "words a comment", "µs a comment", in_turns(turns, ROUNDS), by_size=True)


def _model_us(engine: EngineProcess) -> float:
    return 1e6 / engine.texts_per_s()


def growth(
    plot: str, x_label: str, unit: str, costs: Mapping[int, Sequence[float]], *, by_size: bool
) -> Iterator[Figure]:
    """The costs as a plot, and the last against the one before: as they are, or (`by_size`) a unit of what grew."""
    *_, before, last = costs
    by = last / before if by_size else 1.0
    found = {size: measured(values) for size, values in costs.items()}
    told = ", ".join(f"{number(value.median)} at {size:,}" for size, value in found.items())
    against = ratio(costs[last], [by * value for value in costs[before]])
    name = f"cost of {plot}: {last:,} ÷ {before:,}" + (", each" if by_size else "")
    yield Figure(name, "ratio", against, note=f"{told} {unit}")
    for size, value in found.items():
        yield Figure(f"{plot}: {size}", unit, value, point=Point(f"Cost of {plot}", OURS, size, x_label))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
