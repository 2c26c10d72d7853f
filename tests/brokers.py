"""Brokers for the integration tests: the embedded one always, a real Apache Kafka where TEST_KAFKA_HOME has one."""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.certificates import Certificates
from tests.services import missing

SECURITY = "org.apache.kafka.common.security"


def kafka_home() -> Path:
    """The folder with the script that starts a real broker."""
    return Path(os.environ.get("TEST_KAFKA_HOME", Path(__file__).parent.parent.parent / "shared" / "kafka"))


def require_apache_kafka() -> Path:
    """The script that starts Apache Kafka; skips the test, saying why, where there is none. No registry has it, so it
    can be required only where TEST_KAFKA_HOME says that it is there."""
    script = kafka_home() / "kafka"
    if not script.is_file():
        skip = missing if "TEST_KAFKA_HOME" in os.environ else pytest.skip
        skip(f"no Apache Kafka: TEST_KAFKA_HOME names no folder with a kafka script ({script})")
    if shutil.which("java") is None:
        missing("no Apache Kafka: it needs Java 17 or later, and there is no java on the PATH")
    return script


@contextmanager
def apache_kafka(directory: Path, extra_properties: str = "", port: int | None = None) -> Iterator[str]:
    """Run one real broker, on a free port unless `port` says which; yields its bootstrap address."""
    script = require_apache_kafka()
    extra = directory / "extra.properties"
    extra.write_text(extra_properties)
    home = directory / "broker"
    arguments = ["-d", str(home), "-p", str(port or free_ports(2))]
    started = subprocess.run(
        [script, "start", *arguments, "-c", str(extra)], capture_output=True, text=True, check=False, timeout=120
    )
    assert started.returncode == 0, started.stderr
    try:
        yield started.stdout.strip().splitlines()[-1]
    finally:
        subprocess.run([script, "stop", "-d", str(home)], check=False, capture_output=True, timeout=60)


class SecuredKafka(NamedTuple):
    """The addresses of a broker that lets everybody do everything at `unsecured`, and elsewhere what ACLs allow."""

    unsecured: str
    mutual_tls: str
    sasl_tls: str


@contextmanager
def secured_kafka(directory: Path, certificates: Certificates) -> Iterator[SecuredKafka]:
    """Run one real broker with TLS, SCRAM-SHA-512, OAUTHBEARER (it takes unsigned tokens) and ACLs."""
    keystore = directory / "keystore.pem"
    keystore.write_text(certificates.server_key.read_text() + certificates.server.read_text())
    port = free_ports(4)
    unsecured, mutual_tls, sasl_tls = (f"127.0.0.1:{port + offset}" for offset in (0, 2, 3))
    properties = f"""
listeners=PLAINTEXT://{unsecured},CONTROLLER://127.0.0.1:{port + 1},SSL://{mutual_tls},SASL_SSL://{sasl_tls}
advertised.listeners=PLAINTEXT://{unsecured},SSL://{mutual_tls},SASL_SSL://{sasl_tls}
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={certificates.authority}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={SECURITY}.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={SECURITY}.oauthbearer.OAuthBearerLoginModule required \\
    unsecuredLoginStringClaim_sub="broker";
# Above 0, so that a connection ends with its token.
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
    with apache_kafka(directory, properties, port):
        yield SecuredKafka(unsecured, mutual_tls, sasl_tls)


def free_ports(count: int) -> int:
    """`count` free ports in a row, somewhere: other runs look for theirs at the same time."""
    for port in random.sample(range(19_500, 29_000, 10), 900):
        with ExitStack() as stack:
            try:
                for number in range(port, port + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports for a broker")
