"""Brokers for the integration tests: the embedded one always, a real Apache Kafka where TEST_KAFKA_HOME has one."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def kafka_home() -> Path:
    """The folder with the script that starts a real broker."""
    return Path(os.environ.get("TEST_KAFKA_HOME", Path(__file__).parent.parent.parent / "shared" / "kafka"))


def require_apache_kafka() -> Path:
    """The script that starts Apache Kafka; skips the test, saying why, where there is none."""
    script = kafka_home() / "kafka"
    if not script.is_file():
        pytest.skip(f"no Apache Kafka: TEST_KAFKA_HOME names no folder with a kafka script ({script})")
    if shutil.which("java") is None:
        pytest.skip("no Apache Kafka: it needs Java 17 or later, and there is no java on the PATH")
    return script


@contextmanager
def apache_kafka(directory: Path, extra_properties: str = "") -> Iterator[str]:
    """Run one real broker; yields its bootstrap address."""
    script = require_apache_kafka()
    extra = directory / "extra.properties"
    extra.write_text(extra_properties)
    home = directory / "broker"
    arguments = ["-d", str(home), "-p", str(_free_port_pair())]
    started = subprocess.run(
        [script, "start", *arguments, "-c", str(extra)], capture_output=True, text=True, check=False, timeout=120
    )
    assert started.returncode == 0, started.stderr
    try:
        yield started.stdout.strip().splitlines()[-1]
    finally:
        subprocess.run([script, "stop", "-d", str(home)], check=False, capture_output=True, timeout=60)


def _free_port_pair() -> int:
    """A port that is free together with the next one, which the controller takes."""
    for port in range(19_500, 29_000, 10):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports for a broker")
