"""A broker for each test: the embedded one, and the real one where there is one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from consumer.kafka.embedded import FETCH_WAIT_MAX_MS, embedded_broker
from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from tests.brokers import apache_kafka

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def apache_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with apache_kafka(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def embedded_bootstrap() -> Iterator[str]:
    with embedded_broker([]) as bootstrap:
        yield bootstrap


def names(tmp_path: Path) -> dict[str, str]:
    """Topics and a group that no other test uses."""
    test = f"{tmp_path.name[:40]}-{uuid4().hex[:6]}"
    topics = {
        name: f"{name}-{test}" for name in ("input_topic", "results_topic", "dead_letter_topic", "feedback_topic")
    }
    return topics | {"kafka_group_id": f"group-{test}"}


def embedded_settings(bootstrap: str, tmp_path: Path, **fields: object) -> Settings:
    """Settings for the embedded broker, with topics of this test's own."""
    settings = Settings(
        kafka_bootstrap_servers=bootstrap,
        kafka_session_timeout_ms=6_000,
        kafka_extra_config={"fetch.wait.max.ms": FETCH_WAIT_MAX_MS},
        **{**names(tmp_path), **fields},  # type: ignore[arg-type]
    )
    creator = Producer({"bootstrap.servers": bootstrap})
    for topic in (settings.input_topic, settings.results_topic, settings.dead_letter_topic):
        creator.list_topics(topic, timeout=10)
    return settings


def apache_settings(bootstrap: str, tmp_path: Path, **fields: object) -> Settings:
    """Settings for the real broker, with topics of this test's own, created as `moderate topics create` does."""
    settings = Settings(
        kafka_bootstrap_servers=bootstrap,
        kafka_session_timeout_ms=6_000,
        kafka_max_poll_interval_ms=20_000,
        **{"topic_partitions": 4, **names(tmp_path), **fields},  # type: ignore[arg-type]
    )
    assert all(create_topics(settings).values())
    return settings


@pytest.fixture(params=["embedded", "apache"])
def make_settings(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSettings:
    """Settings for a broker of either kind; each call has its own topics and group."""
    kind = str(request.param)
    bootstrap: str = request.getfixturevalue(f"{kind}_bootstrap")
    make = embedded_settings if kind == "embedded" else apache_settings
    return lambda **fields: make(bootstrap, tmp_path, **fields)


@pytest.fixture(params=["embedded", "apache", "apache-exactly-once"])
def make_stream_settings(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSettings:
    """As `make_settings`, and the real broker with exactly-once delivery too."""
    kind, _, delivery = str(request.param).partition("-")
    bootstrap: str = request.getfixturevalue(f"{kind}_bootstrap")
    make = embedded_settings if kind == "embedded" else apache_settings
    return lambda **fields: make(bootstrap, tmp_path, **({"delivery": delivery or "at-least-once"} | fields))


@pytest.fixture
def make_apache_settings(apache_bootstrap: str, tmp_path: Path) -> MakeSettings:
    """Settings for the real broker only."""
    return lambda **fields: apache_settings(apache_bootstrap, tmp_path, **fields)
