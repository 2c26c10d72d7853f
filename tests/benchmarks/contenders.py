"""Those who are measured, each in processes of its own: from what they are started, until they are ended."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from consumer.settings import Settings
from tests.benchmarks.environments import REPOSITORY
from tests.benchmarks.rig import DEAD_LETTER_TOPIC, Rig, StreamError
from tests.chaos.processes import environment

STOPS_WITHIN_S = 30.0


class Lane(NamedTuple):
    """Where one contender reads and writes, as which group."""

    bootstrap: str
    input: str
    output: str
    group: str
    fetch_wait_max_ms: int
    """How long the broker may keep a fetch that it has nothing for."""


class Command(NamedTuple):
    """A process to start."""

    arguments: Sequence[str | Path]
    environment: dict[str, str]


Contender = Callable[[Lane], Command]


def lane(here: Rig, comments: str) -> Lane:
    """A lane with a group and a topic of results of its own."""
    return Lane(here.bootstrap, comments, here.topic("results"), here.name("group"), here.fetch_wait_max_ms)


def ours(model: bool = True, **extra: str) -> Contender:
    """`moderate run` as it is by default; without `model`, one with an answer at once. `extra` are environment
    variables."""
    module = ("consumer", "run") if model else ("tests.chaos.member",)

    def command(where: Lane) -> Command:
        return Command([sys.executable, "-m", *module], environment(member_settings(where), **extra))

    return command


def member_settings(where: Lane) -> Settings:
    """What a member must be told of its lane."""
    told = {
        "kafka_bootstrap_servers": where.bootstrap,
        "kafka_group_id": where.group,
        "kafka_extra_config": json.dumps({"fetch.wait.max.ms": where.fetch_wait_max_ms}),
        "input_topic": where.input,
        "results_topic": where.output,
        "dead_letter_topic": DEAD_LETTER_TOPIC,
    }
    return Settings(_env_file=None, **told)  # type: ignore[arg-type]


def peer(name: str, python: Path, *options: str) -> Contender:
    """The stream peer in `peers/<name>`, run by the interpreter of its own environment."""

    def command(where: Lane) -> Command:
        told = [part for field, value in where._asdict().items() for part in (f"--{field}", str(value))]
        return Command([python, "-m", f"tests.benchmarks.peers.{name}.peer", *told, *options], peer_environment())

    return command


def peer_environment() -> dict[str, str]:
    """In which a peer finds what the peers share."""
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}


class Running:
    """A contender's process."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    def raise_if_dead(self) -> None:
        """Raise `StreamError` with its last words when it has ended."""
        if self.process.poll() is not None:
            words = self.log.read_text(errors="replace").strip()[-1_000:]
            raise StreamError(f"{self.log.stem} ended with {self.process.returncode}: {words}")


@contextmanager
def running(here: Rig, name: str, command: Command) -> Iterator[Running]:
    """Start it, and end it with the context."""
    log = here.directory / f"{here.name(name.replace(' ', '-'))}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.arguments, env=command.environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Running(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
