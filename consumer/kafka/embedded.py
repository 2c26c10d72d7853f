"""An embedded broker for the demo and the tests: librdkafka's mock cluster, which speaks the Kafka protocol over
loopback TCP.

What it cannot do: create topics by the admin API (they appear when first asked for, with 4 partitions), isolate
transactions, find offsets for times. It keeps about 5 MB per partition in memory, so its users must not run ahead of
their consumers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer

FETCH_WAIT_MAX_MS = 5
"""An idle fetch waits out its whole time on the mock cluster, and so delays the answer to a single comment."""


@contextmanager
def embedded_broker(topics: Sequence[str]) -> Iterator[str]:
    """Run a one-broker cluster in this process with `topics`; yields its bootstrap address."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    metadata = owner.list_topics(timeout=10)
    for topic in topics:
        owner.list_topics(topic, timeout=10)
    try:
        yield ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    finally:
        del owner


def is_embedded(cluster_id: str | None) -> bool:
    """Whether the brokers that gave this cluster id (`client.list_topics().cluster_id`) are a mock cluster: what needs
    isolated transactions or offsets for times must be refused there.
    """
    return (cluster_id or "").startswith("mockCluster")
