"""Members that join and leave every few seconds.

A partition that stays is one that the same member holds from before a rebalance until after it, by its own log. Under a
steady flow each partition has about 50 comments/s, so the time between two of its results is the time it stood still.
"""

import random
import time

from tests.chaos.holds import gaps_while_held, holds_of
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import SLOW_MODEL, Options, Scene, judge, main, scene

TITLE = "members join and leave every few seconds, 1 to 4 of them"
MUST_HOLD = (
    "none lost, none twice in exactly-once (nor in at-least-once, where they leave by SIGTERM), order per key kept, "
    "partitions that stay with their member never stop for more than 2 s"
)

MOST_MEMBERS = 4
LONGEST_GAP_S = 2.0


def run(report: Report, options: Options) -> None:
    """Leaving by SIGTERM, then by SIGKILL."""
    report.did(f"seed {options.seed}")
    for by_kill in (False,) if options.short else (False, True):
        with scene(options) as here:
            _churn(report, options, here, by_kill=by_kill)


def _churn(report: Report, options: Options, here: Scene, *, by_kill: bool) -> None:
    chance = random.Random(options.seed)
    flow, seen = here.flow(rate_per_s=200), here.seen()
    lives: list[MemberProcess] = []
    members = [_join(report, here, lives)]
    growing, most = True, 2 if options.short else MOST_MEMBERS
    changes = options.rounds_or(20, 3)
    for _ in range(changes):
        growing = len(members) == 1 or (growing and len(members) < most)
        if growing:
            members.append(_join(report, here, lives))
        else:
            _leave(report, members.pop(chance.randrange(len(members))), by_kill=by_kill)
        time.sleep(chance.uniform(1, 3))
    how = "kill" if by_kill else "term"
    report.counted(**{f"changes_by_{how}": changes})
    judge(report, here, flow, seen, doubles_allowed=by_kill and not options.exactly_once)
    gaps = gaps_while_held([hold for life in lives for hold in holds_of(life)], seen)
    report.counted(**{f"longest_gap_of_kept_partitions_{how}_s": gaps[0].gap_s if gaps else 0.0})
    report.missing(*(f"a partition that stayed gave nothing for {gap}" for gap in gaps if gap.gap_s > LONGEST_GAP_S))


def _join(report: Report, here: Scene, lives: list[MemberProcess]) -> MemberProcess:
    member = here.member(f"member-{len(lives) + 1}", SLOW_MODEL).start()
    lives.append(member)
    report.check(member.wait_assigned(), f"{member.name} was given no partitions; {member.last_words()}")
    report.did(f"{member.name} joined")
    return member


def _leave(report: Report, member: MemberProcess, *, by_kill: bool) -> None:
    if by_kill:
        member.kill()
    else:
        status = member.terminate()
        report.check(status == 0, f"{member.name} ended with exit status {status}; {member.last_words()}")
    report.did(f"{member.name} left")


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
