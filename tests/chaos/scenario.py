"""What every row needs: its options, a broker with topics of its own, members that are gone at the end, a verdict.

A row is a module with `TITLE`, `MUST_HOLD` and `run(report, options)`; its last line is
`if __name__ == "__main__": main(TITLE, MUST_HOLD, run)`.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from tests.brokers import apache_kafka
from tests.chaos.flow import Flow, Seen
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.verdict import figures, problems

BROKER_PROPERTIES = """
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
"""
"""With KAFKA_GROUP_PROTOCOL=consumer the broker has the session timeout: as short as the classic protocol's here."""

PARTITIONS = 4
SLOW_MODEL = {"CHAOS_SECONDS_PER_TEXT": "0.002"}
"""Under 200 comments/s there is always a batch in the model, and the member still keeps up."""
OPEN_TRANSACTION_S = 30.0
"""A dead member's transaction is aborted after KAFKA_TRANSACTION_TIMEOUT_MS; brokers look every 10 s."""
COMES_OUT_WITHIN_S = 120.0
QUIET_S = 15.0
"""After as long without a result nothing more will come: two session timeouts and more."""


@dataclass(frozen=True)
class Options:
    """How to run a row. `rounds` 0 = the row's own number; `bootstrap` empty = start a broker; `logs` empty = keep
    none; `plant` names a fault to plant in every member.
    """

    delivery: str = "at-least-once"
    short: bool = False
    bootstrap: str = ""
    group_protocol: str = "classic"
    rounds: int = 0
    seed: int = 0
    logs: str = ""
    plant: str = ""

    @property
    def exactly_once(self) -> bool:
        """Whether the members promise exactly-once."""
        return self.delivery == "exactly-once"

    def rounds_or(self, full: int, short: int) -> int:
        """How often: as asked for, else `full`, or `short` in the short form."""
        return self.rounds or (short if self.short else full)


Run = Callable[[Report, Options], None]


@dataclass(frozen=True)
class Scene:
    """A broker with topics and a group of this run's own, and a directory for logs."""

    settings: Settings
    directory: Path
    plant: str
    _stack: ExitStack
    _members: list[MemberProcess] = field(default_factory=list)

    def member(self, name: str, env: Mapping[str, str] | None = None, *, model: bool = False) -> MemberProcess:
        """A member that is not started yet, and is killed at the end of the scene; its log is `<name>.log`."""
        extra = {"CHAOS_PLANT": self.plant, **(env or {})}
        member = MemberProcess(self.settings, self.directory / f"{name}.log", model=model, **extra)
        self._stack.callback(member.kill_if_running)
        self._members.append(member)
        return member

    def terminate_members(self) -> list[str]:
        """SIGTERM to all members that run, once they have started; returns what is wrong with how they ended."""
        running = [member for member in self._members if member.running and member.wait_for_event("consuming")]
        statuses = [(member, member.terminate()) for member in running]
        return [f"{m.name} ended with {status} on SIGTERM; {m.last_words()}" for m, status in statuses if status]

    def flow(self, rate_per_s: float, keys: int = 40) -> Flow:
        """A flow of comments that has begun."""
        flow = Flow(self.settings, rate_per_s, keys).start()
        self._stack.callback(flow.stop)
        return flow

    def seen(self, isolation: str = "read_committed") -> Seen:
        """A subscriber that has begun to read."""
        seen = Seen(self.settings, isolation).start()
        self._stack.callback(seen.stop)
        return seen


@contextmanager
def scene(options: Options, bootstrap: str = "", **fields: object) -> Iterator[Scene]:
    """Start a broker (unless there is one) and create topics; `fields` are further settings of the members."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moderate-chaos-")))
        address = bootstrap or options.bootstrap or stack.enter_context(apache_kafka(directory, BROKER_PROPERTIES))
        settings = chaos_settings(address, options, **fields)
        if options.logs:
            stack.callback(_keep_logs, directory, Path(options.logs) / settings.kafka_group_id)
        yield Scene(settings, directory, options.plant, stack)


def _keep_logs(directory: Path, kept: Path) -> None:
    kept.mkdir(parents=True)
    for log in directory.glob("*.log"):
        shutil.copy(log, kept)


def chaos_settings(bootstrap: str, options: Options, **fields: object) -> Settings:
    """Settings with short timeouts and small batches, so that much happens in little time; creates the topics."""
    run = uuid4().hex[:8]
    topics = {f"{kind}_topic": f"{kind}-{run}" for kind in ("input", "results", "dead_letter", "feedback")}
    ours: dict[str, object] = {
        "kafka_bootstrap_servers": bootstrap,
        "kafka_group_id": f"group-{run}",
        "kafka_group_protocol": options.group_protocol,
        "kafka_auto_offset_reset": "earliest",
        "kafka_session_timeout_ms": 6_000,
        "kafka_max_poll_interval_ms": 20_000,
        "delivery": options.delivery,
        "topic_partitions": PARTITIONS,
        "max_batch_records": 32,
    }
    settings = Settings(_env_file=None, **{**ours, **topics, **fields})  # type: ignore[arg-type]
    assert all(create_topics(settings).values())
    return settings


def judge(report: Report, here: Scene, flow: Flow, seen: Seen, *, doubles_allowed: bool) -> None:
    """Stop the flow, wait until all of it came out, stop the members; report the figures and what is wrong."""
    flow.stop()
    quiet_s = QUIET_S + (OPEN_TRANSACTION_S if here.settings.delivery == "exactly-once" else 0)
    came_out = seen.wait_for(flow.acknowledged, COMES_OUT_WITHIN_S, quiet_s)
    report.did("all that was sent came out" if came_out else "not all that was sent came out")
    report.missing(*here.terminate_members())
    report.check(seen.wait_for_end(OPEN_TRANSACTION_S), "a transaction stayed open after all members had gone")
    report.counted(**figures(flow, seen))
    report.missing(*problems(flow, seen, doubles_allowed=doubles_allowed))


def perform(title: str, run: Run, options: Options) -> Report:
    """Run one row; an error of the scenario itself is something missing, too."""
    report = Report(title, f"{options.delivery}, {options.group_protocol}")
    try:
        run(report, options)
    except pytest.skip.Exception as reason:
        report.missing(f"not run: {reason}")
    except Exception as error:
        report.missing(f"the scenario failed: {type(error).__name__}: {error}")
        traceback.print_exc()
    report.close()
    return report


def stop_on_sigterm() -> None:
    """Let SIGTERM end this process with everything that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def options_parser(description: str) -> argparse.ArgumentParser:
    """The options that every row has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--short", action="store_true", help="a short form, of half a minute or less")
    parser.add_argument("--rounds", type=int, default=0, help="how often, instead of the row's own number")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of what is left to chance")
    parser.add_argument("--bootstrap", default="", help="a broker that runs; without it, one is started")
    parser.add_argument("--logs", default="", help="a directory in which to keep the members' logs")
    return parser


def main(title: str, must_hold: str, run: Run) -> None:
    """The command line of one row; exits 0 when everything held, else 1."""
    parser = options_parser(f"{title}. Must hold: {must_hold}")
    parser.add_argument("--delivery", choices=["at-least-once", "exactly-once"], default="at-least-once")
    parser.add_argument("--group-protocol", choices=["classic", "consumer"], default="classic")
    stop_on_sigterm()
    sys.exit(0 if perform(title, run, Options(**vars(parser.parse_args()))).ok else 1)
