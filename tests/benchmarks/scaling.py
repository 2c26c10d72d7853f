"""1, 2 and 4 members of one group: how much more they do together. Their model sleeps, so two cores stand for many."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from tests.benchmarks import corpus
from tests.benchmarks.contenders import lane, member_settings
from tests.benchmarks.rig import PARTITIONS, Rig, StreamError, rate_per_s
from tests.benchmarks.sampling import Figure, Run, in_turns, ratio
from tests.chaos.processes import MemberProcess

COMMENTS = 40_000
MEMBERS = (1, 2, 4)
SECONDS_PER_TEXT = 0.004
"""So slow that the host's work, which two cores must do for all members, stays small."""
BATCH_RECORDS = 32
"""The fewer come at once, the less it matters at which moment a rate begins and ends."""
WINDOW_S, QUICK_WINDOW_S = 8.0, 3.0


def scale(here: Rig, told: Run) -> list[Figure]:
    """Throughput of 2 and of 4 members as a multiple of one's; nothing on the embedded broker, where a group of several
    takes minutes to settle."""
    if here.embedded:
        return []
    comments = here.filled(corpus.unique(COMMENTS))
    turns = {str(members): partial(_rate_per_s, here, told, comments, members) for members in MEMBERS}
    rates = in_turns(turns, 1 if told.quick else told.rounds)
    return [
        Figure(f"{members} members ÷ 1, model sleeps", "ratio", ratio(rates[str(members)], rates["1"]))
        for members in MEMBERS[1:]
    ]


def _rate_per_s(here: Rig, told: Run, comments: str, members: int) -> float:
    where = lane(here, comments)
    cost = {"CHAOS_SECONDS_PER_TEXT": str(SECONDS_PER_TEXT), "MAX_BATCH_RECORDS": str(BATCH_RECORDS)}
    with ExitStack() as stack:
        started = []
        for number in range(members):
            log = here.directory / f"{where.group}-{number}.log"
            member = MemberProcess(member_settings(where), log, model=False, **cost).start()
            stack.callback(member.terminate)
            started.append(member)
        for member in started:
            if not member.wait_assigned(at_least=PARTITIONS // members):
                raise StreamError(f"{member.name} was given no partitions; {member.last_words()}")
        return rate_per_s(
            here,
            where.output,
            QUICK_WINDOW_S if told.quick else WINDOW_S,
            warm_up=here.look(where.output).results,
            most=COMMENTS,
            raise_if_dead=partial(_raise_if_dead, started),
        )


def _raise_if_dead(members: Sequence[MemberProcess]) -> None:
    for member in members:
        if not member.running:
            raise StreamError(f"{member.name} ended; {member.last_words()}")
