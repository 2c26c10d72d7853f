"""SIGTERM of a member in mid-stream."""

import random
import time

from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import SLOW_MODEL, Options, judge, main, scene

TITLE = "SIGTERM in mid-stream, restarted each time"
MUST_HOLD = "clean exit inside the deadline, no duplicates even in at-least-once"


def run(report: Report, options: Options) -> None:
    """Half of the signals hit the only member, half one of two."""
    rounds = options.rounds_or(10, 2)
    chance = random.Random(options.seed)
    report.did(f"seed {options.seed}")
    with scene(options) as here:
        flow, seen = here.flow(rate_per_s=200), here.seen()
        members = [here.member("first", SLOW_MODEL).start()]
        ends_s = [_terminate(report, here.settings.shutdown_timeout_s, chance, members) for _ in range(rounds // 2)]
        members.append(here.member("second", SLOW_MODEL).start())
        ends_s += [
            _terminate(report, here.settings.shutdown_timeout_s, chance, members) for _ in range(rounds - rounds // 2)
        ]
        report.counted(signals=rounds, slowest_end_s=max(ends_s))
        judge(report, here, flow, seen, doubles_allowed=False)


def _terminate(report: Report, deadline_s: float, chance: random.Random, members: list[MemberProcess]) -> float:
    """End one of the members and start it again; returns how long its end took, in seconds."""
    member = chance.choice(members)
    report.check(member.wait_assigned(), f"{member.name} was given no partitions; {member.last_words()}")
    time.sleep(chance.uniform(0.2, 2))
    began_s = time.monotonic()
    status = member.terminate(timeout_s=deadline_s + 5)
    took_s = time.monotonic() - began_s
    report.did(f"{member.name} ended {took_s:.2f} s after SIGTERM with exit status {status}")
    report.check(status == 0, f"{member.name} ended with exit status {status}; {member.last_words()}")
    report.check(took_s < deadline_s, f"{member.name} took {took_s:.1f} s, more than SHUTDOWN_TIMEOUT_S")
    member.start()
    return took_s


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
