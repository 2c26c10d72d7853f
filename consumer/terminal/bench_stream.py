"""How fast one member is from topic to topic, and how long a comment takes under load."""

import math
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from consumer.terminal.bench_client import BenchClient
from consumer.terminal.bench_figures import Latency, Measured, latency, measured, rates_per_s
from consumer.terminal.bench_member import BenchError, BenchMember

STARTED_WITHIN_S = 300.0
DRAINED_WITHIN_S = 120.0
MOST_OUTSTANDING = 8_000
"""The embedded broker keeps about 5 MB per partition and then forgets; a result is about 1 KB."""
BATCHES_OUTSTANDING = 5
"""A member holds four: one at each stage and one in front of the model. So there is always one more to be had."""
BATCHES_PER_WINDOW = 2
BATCH_ARRIVES_WITHIN_S = 0.1
"""A batch's results are read within this time; the first window begins behind them."""
LOOKS_EVERY_S = 0.002
SETTLING_SHARE = 0.2


class Level(NamedTuple):
    """Latency from the moment a comment was due to be sent until its result was read, at one rate of arrivals.

    `late_p99_ms` is how late the comments were sent (it is part of the latency: a client that falls behind must not
    make the stream look good). `held` is false when comments came faster than results for so long that it was given up.
    """

    rate_per_s: float
    latency: Latency
    late_p99_ms: float
    held: bool


OnProgress = Callable[[float], None]
"""Is told how many seconds have passed since it was called last."""


def join(client: BenchClient, member: BenchMember, text: str) -> None:
    """Wait until the member has joined its group and answered a first comment. Raises `BenchError`."""
    client.send(text)
    _drain(client, member, STARTED_WITHIN_S)


def saturate(
    client: BenchClient,
    member: BenchMember,
    texts: Iterator[str],
    *,
    warm_up_comments: int,
    windows: int,
    seconds_each: float,
    on_progress: OnProgress = lambda _: None,
) -> Measured:
    """Comments per second when there is always more to do, in each of `windows` windows of `seconds_each` and two
    batches at least, after `warm_up_comments` of `texts`. Blocks. What is still on its way at the end is left there.
    """
    most = min(MOST_OUTSTANDING, BATCHES_OUTSTANDING * member.settings.max_batch_records)
    warm_at = len(client.arrivals_s) + client.outstanding + max(1, warm_up_comments)
    enough = windows * BATCHES_PER_WINDOW * (most // BATCHES_OUTSTANDING)
    told_s = time.monotonic()
    gives_up_s, began_s = told_s + STARTED_WITHIN_S, math.inf
    while (now_s := time.monotonic()) < began_s + windows * seconds_each or len(client.arrivals_s) < warm_at + enough:
        while client.outstanding < most:
            client.send(next(texts))
        client.wait(LOOKS_EVERY_S)
        if began_s == math.inf and len(client.arrivals_s) >= warm_at:
            began_s = now_s + BATCH_ARRIVES_WITHIN_S
        if now_s > gives_up_s:
            raise BenchError(f"{enough} comments did not come out within {STARTED_WITHIN_S:g} s: too slow to measure")
        on_progress(now_s - told_s)
        told_s = now_s
        member.raise_if_dead()
    return measured(rates_per_s(list(client.arrivals_s.values()), began_s, now_s, windows))


def hold(
    client: BenchClient,
    member: BenchMember,
    texts: Iterator[str],
    rate_per_s: float,
    seconds: float,
    *,
    seed: int = 0,
    on_progress: OnProgress = lambda _: None,
) -> Level:
    """Send comments at `rate_per_s` as strangers do, whenever they like (a Poisson process), whatever comes back.

    Blocks until all came out. The first fifth is not counted. Raises `BenchError` when something does not come out.
    """
    _drain(client, member, DRAINED_WITHIN_S)
    chance = Random(seed)  # noqa: S311 - not for secrets
    began_s = due_s = told_s = time.monotonic()
    due: dict[int, float] = {}
    late_s: list[float] = []
    held = True
    while held and due_s < began_s + seconds:
        now_s = time.monotonic()
        if now_s < due_s:
            client.wait(min(due_s - now_s, LOOKS_EVERY_S))
            member.raise_if_dead()
            on_progress(now_s - told_s)
            told_s = now_s
            continue
        due[client.send(next(texts))] = due_s
        late_s.append(now_s - due_s)
        due_s += chance.expovariate(rate_per_s)
        held = client.outstanding < MOST_OUTSTANDING
    _drain(client, member, DRAINED_WITHIN_S)
    counted = {number: at_s for number, at_s in due.items() if at_s >= began_s + SETTLING_SHARE * seconds} or due
    return Level(
        rate_per_s,
        latency([client.arrivals_s[number] - at_s for number, at_s in counted.items()]),
        latency(late_s).p99_ms,
        held,
    )


def _drain(client: BenchClient, member: BenchMember, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while client.outstanding:
        client.wait(LOOKS_EVERY_S)
        member.raise_if_dead()
        if time.monotonic() > deadline_s:
            raise BenchError(f"{client.outstanding} of {client.sent} comments did not come out within {within_s:g} s")
