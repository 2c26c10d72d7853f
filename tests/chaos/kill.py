"""SIGKILL of the consumer at random moments, under a steady flow."""

import random
import time

from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import Options, judge, main, scene

TITLE = "SIGKILL at a random moment, restarted each time"
MUST_HOLD = (
    "at-least-once: every comment at least once, duplicates share the event id; "
    "exactly-once: a read_committed subscriber sees each exactly once"
)


def run(report: Report, options: Options) -> None:
    """Half of the kills hit the only member, half one of two static members."""
    rounds = options.rounds_or(30, 3)
    chance = random.Random(options.seed)
    report.did(f"seed {options.seed}")
    with scene(options) as here:
        flow, seen = here.flow(rate_per_s=200), here.seen()
        alone = here.member("alone").start()
        for number in range(1, rounds // 2 + 1):
            _kill(report, chance, alone, number)
        alone.kill()
        pair = [here.member(name, {"KAFKA_GROUP_INSTANCE_ID": name}).start() for name in ("first", "second")]
        for number in range(rounds // 2 + 1, rounds + 1):
            _kill(report, chance, chance.choice(pair), number)
        report.counted(kills=rounds)
        judge(report, here, flow, seen, doubles_allowed=not options.exactly_once)


def _kill(report: Report, chance: random.Random, member: MemberProcess, number: int) -> None:
    """Mostly while it works; one in four at any moment of its start, which includes a rebalance."""
    starting = chance.random() < 0.25
    if not starting:
        report.check(member.wait_assigned(), f"{member.name} was given no partitions; {member.last_words()}")
    delay_s = chance.uniform(0, 5 if starting else 2)
    time.sleep(delay_s)
    member.kill()
    report.did(f"kill {number}: {member.name}, {delay_s:.2f} s after its {'start' if starting else 'assignment'}")
    member.start()


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
