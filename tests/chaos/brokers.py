"""Real brokers to be killed and started again, one by one."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.brokers import require_apache_kafka
from tests.chaos.flow import QUIET
from tests.chaos.scenario import BROKER_PROPERTIES

HEAP = "384m"


class Cluster:
    """Brokers 1…n that run; `bootstrap` is their addresses."""

    def __init__(self, script: Path, home: Path, bootstrap: str, nodes: int) -> None:
        self.bootstrap = bootstrap
        self.nodes = nodes
        self._script = script
        self._home = home

    def kill(self, node: int) -> None:
        """SIGKILL of one broker."""
        _kafka(self._script, "kill", "-d", str(self._home), str(node))

    def resume(self, node: int) -> None:
        """Start it again on its data; returns when it has started."""
        _kafka(self._script, "resume", "-d", str(self._home), str(node))

    def wait_until_in_sync(self, timeout_s: float = 60) -> bool:
        """Wait until every broker has caught up with every partition; False when they have not within `timeout_s`.

        Until then, killing another one would leave fewer than min.insync.replicas.
        """
        admin = AdminClient({"bootstrap.servers": self.bootstrap} | QUIET)
        deadline_s = time.monotonic() + timeout_s
        while not self._in_sync(admin):
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.5)
        return True

    def _in_sync(self, admin: AdminClient) -> bool:
        try:
            topics = admin.list_topics(timeout=10).topics.values()
        except KafkaException:
            return False
        return all(len(p.isrs) == self.nodes for topic in topics for p in topic.partitions.values())


@contextmanager
def cluster(directory: Path, nodes: int) -> Iterator[Cluster]:
    """Run 1 or 3 brokers (then with replication 3 and min.insync.replicas 2)."""
    script = require_apache_kafka()
    extra = directory / "cluster.properties"
    extra.write_text(BROKER_PROPERTIES)
    home = directory / "cluster"
    place = ["-d", str(home), "-n", str(nodes), "-p", str(_free_ports(nodes))]
    try:
        bootstrap = _kafka(script, "start", *place, "-c", str(extra)).strip().splitlines()[-1]
        yield Cluster(script, home, bootstrap, nodes)
    finally:
        _kafka(script, "stop", "-d", str(home))


def _kafka(script: Path, *arguments: str) -> str:
    """Run the script; the brokers it starts live on, so its output must not be a pipe that they keep open."""
    done = subprocess.run(
        [script, *arguments],
        env=os.environ | {"KAFKA_HEAP": HEAP},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"kafka {arguments[0]} failed: {done.stderr[-500:]}"
    return done.stdout


def _free_ports(nodes: int) -> int:
    """A port from which the brokers' and their controllers' are free: p and p+1, p+10 and p+11, p+20 and p+21."""
    for first in range(20_030, 29_000, 30):
        with ExitStack() as stack:
            try:
                for port in (first + 10 * node + extra for node in range(nodes) for extra in (0, 1)):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports for brokers")
