"""A member that is frozen until the group has given it up, and then wakes."""

import random
import time

from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import PARTITIONS, SLOW_MODEL, Options, judge, main, scene
from tests.chaos.verdict import doubles

TITLE = "SIGSTOP longer than the session timeout, then SIGCONT"
MUST_HOLD = "fenced; its output is not visible to read_committed readers; at-least-once: doubles share the event id"
FREEZE_S = 8.0
LONG_FREEZE_S = 24.0
"""Longer than the transaction timeout and the brokers' look for it, too."""


def run(report: Report, options: Options) -> None:
    """Each round freezes one of two members until the other has everything, and thaws it under flow."""
    rounds = options.rounds_or(6, 1)
    chance = random.Random(options.seed)
    report.did(f"seed {options.seed}")
    with scene(options) as here:
        flow, seen, everything = here.flow(rate_per_s=200), here.seen(), here.seen("read_uncommitted")
        zombie, other = (here.member(name, SLOW_MODEL).start() for name in ("zombie", "other"))
        for number in range(rounds):
            _freeze_and_thaw(report, chance, zombie, other, long=number % 2 == 1)
        judge(report, here, flow, seen, doubles_allowed=not options.exactly_once)
        everything.wait_for_end(30)
        report.counted(freezes=rounds, written_twice_and_not_visible=len(doubles(everything)) - len(doubles(seen)))


def _freeze_and_thaw(
    report: Report, chance: random.Random, zombie: MemberProcess, other: MemberProcess, *, long: bool
) -> None:
    for member in (zombie, other):
        report.check(member.wait_assigned(), f"{member.name} was given no partitions; {member.last_words()}")
    time.sleep(chance.uniform(1, 2))
    zombie.freeze()
    frozen_s = time.monotonic()
    report.did("froze the zombie")
    report.check(other.wait_assigned(at_least=PARTITIONS), "the other member did not take over")
    time.sleep(max(frozen_s + (LONG_FREEZE_S if long else FREEZE_S) - time.monotonic(), 0))
    thawed_s = time.monotonic()
    zombie.thaw()
    report.did(f"thawed the zombie after {thawed_s - frozen_s:.1f} s")
    noticed = zombie.wait_for_event("partitions_lost", "stopped_by_error", timeout_s=30, after_s=thawed_s)
    report.check(noticed, f"the zombie did not notice that it was given up; {zombie.last_words()}")
    time.sleep(1)
    if not zombie.running:
        report.did(f"the zombie ended itself with exit status {zombie.wait(5)}; started again")
        zombie.start()
    time.sleep(2)


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
