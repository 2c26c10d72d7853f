"""Section "stream": topic to topic, ours, the limit, and the others; who does most with the same two cores.

Comments lie in the topic before a contender starts, so nobody waits for a sender, and a broker's own count of the
results tells the rate.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from consumer.terminal.bench_figures import measured
from consumer.terminal.bench_texts import REMEMBERED
from tests.benchmarks import corpus
from tests.benchmarks.contenders import Contender, lane, ours, peer, running
from tests.benchmarks.engines import LIMITS, started
from tests.benchmarks.environments import python_of
from tests.benchmarks.rig import PARTITIONS, Rig, StreamError, rate_per_s, rig
from tests.benchmarks.sampling import Figure, Reach, Run, fastest, in_turns, ratio
from tests.benchmarks.scaling import scale
from tests.benchmarks.stages import stage_times

PEERS = ("plain_loop", "quix", "faststream", "faust", "arroyo")
COMMENTS = 40_000
BARE_TEXTS = 1_024
REPEATED_COMMENTS = 200_000
HOST_PATH_COMMENTS = 400_000
"""They fit into the embedded broker, which forgets what is above 5 MB a partition: they are compressed."""
WINDOW_S, QUICK_WINDOW_S = 8.0, 3.0

WARM_CACHE = 5 * REMEMBERED
"""Comments of one partition until nearly all that is repeated at first has been seen."""
NO_CACHE = 300
"""Comments of a peer that remembers nothing: one batch and the beginning of the next, which takes it seconds."""
OURS, CACHED = "ours", " with our cache"


def run(told: Run) -> list[Figure]:
    """All of it; half a minute for each peer, round and stream."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as directory, rig(Path(directory)) as here:
        figures = host_path(here, told)
        figures += unique_texts(here, told)
        figures += repeats(here, told)
        return figures + scale(here, told)


def stream_rate_per_s(
    here: Rig, told: Run, name: str, contender: Contender, comments: str, most: int, warm_up: int = REMEMBERED
) -> float:
    """Comments per second of one contender that starts on the topic `comments`, which has `most`."""
    where = lane(here, comments)
    with running(here, name, contender(where)) as one:
        found = rate_per_s(
            here,
            where.output,
            _window_s(told),
            warm_up=warm_up,
            most=most,
            raise_if_dead=one.raise_if_dead,
        )
    if doubles := here.doubles(where.output):
        raise StreamError(f"{name} answered {doubles} comments twice")
    return found


def _window_s(told: Run) -> float:
    return QUICK_WINDOW_S if told.quick else WINDOW_S


def host_path(here: Rig, told: Run) -> list[Figure]:
    """A model that answers at once, against passing on records that nobody looks into."""
    contenders = {
        OURS: ours(model=False),
        "raw passthrough": peer("raw_passthrough", python_of("raw_passthrough")),
        "naive loop": peer("naive_loop", python_of("naive_loop")),
    }
    comments = here.filled(corpus.unique(HOST_PATH_COMMENTS))
    rates = in_turns(_turns(here, told, contenders, comments, HOST_PATH_COMMENTS), told.rounds)
    return [
        *_figures("instant model", rates, here),
        Figure("host path ÷ raw passthrough", "ratio", ratio(rates[OURS], rates["raw passthrough"]), Reach(0.12, 0.2)),
        Figure("naive loop ÷ raw passthrough", "ratio", ratio(rates["naive loop"], rates["raw passthrough"])),
    ]


def unique_texts(here: Rig, told: Run) -> list[Figure]:
    """No two texts alike."""
    comments = here.filled(corpus.unique(COMMENTS))
    with started(LIMITS, told, corpus.unique(BARE_TEXTS)) as limits:
        turns = _turns(here, told, {OURS: ours()}, comments, COMMENTS)
        turns |= _turns(here, told, _peers(told), comments, COMMENTS, warm_up=NO_CACHE)
        rates = in_turns(turns | {name: bare.texts_per_s for name, bare in limits.items()}, told.rounds)
    bare = {name: rates.pop(name) for name in limits}
    limit = fastest(bare)
    return [
        *_figures("unique texts", rates | bare, here),
        Figure("unique texts: ours ÷ bare forward", "ratio", ratio(rates[OURS], bare[limit]), Reach(0.92, 0.97), limit),
        *_against_peers("unique texts", rates, Reach(1.5, 3)),
        *stage_times(here, "unique texts", comments, REMEMBERED, _window_s(told)),
    ]


def repeats(here: Rig, told: Run) -> list[Figure]:
    """Nine of ten texts have been seen: the peers as they are and, where peers are asked for, with our cache given to
    them."""
    comments = here.filled(corpus.repeated(REPEATED_COMMENTS, PARTITIONS), in_turn=True)
    with_cache = {OURS: ours(), **(_peers(told, "--cache") if told.peers else {})}
    turns = _turns(here, told, with_cache, comments, REPEATED_COMMENTS, warm_up=WARM_CACHE)
    turns |= _turns(here, told, _peers(told), comments, REPEATED_COMMENTS, warm_up=NO_CACHE)
    rates = in_turns(turns, told.rounds)
    without = {name: values for name, values in rates.items() if not name.endswith(CACHED)}
    cached = {name: values for name, values in rates.items() if name == OURS or name.endswith(CACHED)}
    return [
        *_figures("90 % repeats", rates, here),
        *_against_peers("90 % repeats", without, Reach(5, 10)),
        *(_against_peers("90 % repeats, our cache given to it", cached, Reach(5, 10)) if told.peers else ()),
        *stage_times(here, "90 % repeats", comments, WARM_CACHE, _window_s(told)),
    ]


def _peers(told: Run, *options: str) -> dict[str, Contender]:
    """The stream peers: one loop always, all of them where peers are asked for."""
    names = PEERS if told.peers else PEERS[:1]
    return {
        name + (CACHED if options else ""): peer(name, python_of(name), "--model", str(told.model), *options)
        for name in names
    }


def _turns(
    here: Rig, told: Run, contenders: Mapping[str, Contender], comments: str, most: int, warm_up: int = REMEMBERED
) -> dict[str, Callable[[], float]]:
    """What measures each contender once, all on the same topic."""
    return {
        name: partial(stream_rate_per_s, here, told, name, contender, comments, most, warm_up)
        for name, contender in contenders.items()
    }


def _figures(stream: str, rates: Mapping[str, Sequence[float]], here: Rig) -> list[Figure]:
    return [
        Figure(f"{stream}: {name}", "comments/s", measured(values), note=here.broker) for name, values in rates.items()
    ]


def _against_peers(stream: str, rates: Mapping[str, Sequence[float]], reach: Reach) -> list[Figure]:
    """Ours against the fastest of the others."""
    others = {name: values for name, values in rates.items() if name != OURS}
    best = fastest(others)
    against = ratio(rates[OURS], others[best])
    return [Figure(f"{stream}: ours ÷ fastest peer", "ratio", against, reach, note=f"against {best}")]
