"""Brokers that go away and come back."""

import tempfile
import time
from pathlib import Path

from tests.chaos.brokers import Cluster, cluster
from tests.chaos.flow import Flow, Seen
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import PARTITIONS, Options, judge, main, scene

TITLE = "broker killed and started again; one of three brokers killed"
MUST_HOLD = (
    "flow resumes by itself (exactly-once: with a supervisor that restarts fenced members), none lost "
    "(exactly-once: none twice)"
)

OUTAGE_S = 5.0
RESUMES_WITHIN_S = 90.0


def run(report: Report, options: Options) -> None:
    """First the only broker, then each of three in turn."""
    for nodes in (1,) if options.short else (1, 3):
        with (
            tempfile.TemporaryDirectory(prefix="moderate-chaos-") as directory,
            cluster(Path(directory), nodes) as kafka,
        ):
            report.did(f"started {nodes} broker(s)")
            _kill_each(report, options, kafka, nodes)


def _kill_each(report: Report, options: Options, kafka: Cluster, nodes: int) -> None:
    with scene(options, kafka.bootstrap, topic_replication_factor=nodes) as here:
        flow, seen = here.flow(rate_per_s=200), here.seen()
        members = [here.member(name).start() for name in (f"first-of-{nodes}", f"second-of-{nodes}")]
        for member in members:
            report.check(member.wait_assigned(), f"{member.name} was given no partitions")
        resumed_s = []
        for number in range(options.rounds_or(3, 1)):
            time.sleep(3)
            resumed_s.append(_kill(report, kafka, flow, seen, members, number % nodes + 1))
        report.counted(**{f"slowest_resumption_with_{nodes}_s": max(resumed_s)})
        restarts = sum(member.starts for member in members) - len(members)
        report.counted(**{f"restarts_by_a_supervisor_with_{nodes}": restarts})
        report.check(options.exactly_once or not restarts, "members did not go on by themselves")
        judge(report, here, flow, seen, doubles_allowed=not options.exactly_once)


def _kill(report: Report, kafka: Cluster, flow: Flow, seen: Seen, members: list[MemberProcess], node: int) -> float:
    """Kill a broker and start it again; returns the seconds until all partitions flow again: without it where there are
    others, else from its return."""
    report.check(
        kafka.wait_until_in_sync(), "the brokers did not come back in sync: nothing can be said about another kill"
    )
    kafka.kill(node)
    report.did(f"killed broker {node} of {kafka.nodes}")
    began_s = time.monotonic()
    if kafka.nodes > 1:
        _wait_until_all_flow(report, flow, seen, members)
        resumed_s = time.monotonic() - began_s
        kafka.resume(node)
    else:
        time.sleep(OUTAGE_S)
        kafka.resume(node)
        report.did(f"started broker {node} again after {time.monotonic() - began_s:.1f} s")
        began_s = time.monotonic()
        _wait_until_all_flow(report, flow, seen, members)
        resumed_s = time.monotonic() - began_s
    report.did(f"all partitions flow again after {resumed_s:.1f} s")
    return resumed_s


def _wait_until_all_flow(report: Report, flow: Flow, seen: Seen, members: list[MemberProcess]) -> None:
    """Wait until comments that are sent from now on come out of every partition, and be the supervisor meanwhile:
    exactly-once members that were cut off for longer than their transaction's time-out end, and are started again.
    """
    sent, came_out = flow.sent, len(seen.outcomes)
    deadline_s = time.monotonic() + RESUMES_WITHIN_S
    while time.monotonic() < deadline_s:
        for member in members:
            if not member.running:
                report.did(f"{member.name} ended with {member.wait(1)} and is started again; {member.last_words()}")
                member.start()
        new = {outcome.source_partition for outcome in seen.outcomes[came_out:] if outcome.number >= sent}
        if len(new) == PARTITIONS:
            return
        time.sleep(0.2)
    report.missing(f"only partitions {sorted(new)} flowed again within {RESUMES_WITHIN_S:g} s")


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
