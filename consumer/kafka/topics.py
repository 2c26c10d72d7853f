"""Creates the topics, and checks at start that they are there."""

from collections.abc import Mapping
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

from consumer.kafka.clients import Admin, KafkaUnavailableError, make_admin
from consumer.kafka.refusals import describe, most_telling, remedy
from consumer.settings import Settings

REACH_TIMEOUT_S = 15.0
CREATE_TIMEOUT_S = 30.0
OUTPUT_FACTOR = 2
OUTPUT_HEADROOM_BYTES = 65_536
"""Results repeat the comment and add tags; dead letters add headers. Twice the input and 64 KiB also covers a record
that compressed better on its way in."""


def output_max_message_bytes(settings: Settings) -> int:
    """`max.message.bytes` of the results and the dead-letter topic."""
    return OUTPUT_FACTOR * settings.input_max_record_bytes + OUTPUT_HEADROOM_BYTES


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """The topics with the broker configuration that each is created with."""
    retention = {"retention.ms": str(settings.topic_retention_hours * 3_600_000)}
    small, large = str(settings.input_max_record_bytes), str(output_max_message_bytes(settings))
    return {
        settings.input_topic: retention | {"max.message.bytes": small},
        settings.results_topic: retention | {"max.message.bytes": large},
        settings.dead_letter_topic: retention | {"max.message.bytes": large},
        # The broker's clock: a correction that claims to come from the future is told by its record's time.
        settings.feedback_topic: retention | {"max.message.bytes": small, "message.timestamp.type": "LogAppendTime"},
    }


def create_topics(settings: Settings) -> dict[str, bool]:
    """Create the four topics; returns for each whether it was created now (False: it was there).

    Raises `KafkaUnavailableError` when the broker cannot be reached or refuses.
    """
    return _create(topic_configs(settings), settings)


def create_output_topics(settings: Settings) -> dict[str, bool]:
    """`create_topics` for the results and the dead-letter topic only."""
    configs = topic_configs(settings)
    return _create({name: configs[name] for name in (settings.results_topic, settings.dead_letter_topic)}, settings)


def _create(configs: Mapping[str, dict[str, str]], settings: Settings) -> dict[str, bool]:
    admin = make_admin(settings)
    new = [
        NewTopic(
            name,
            num_partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication_factor,
            config=config,
        )
        for name, config in configs.items()
    ]
    reach(admin, settings)
    futures: dict[str, Future[None]] = admin.create_topics(
        new, operation_timeout=CREATE_TIMEOUT_S, request_timeout=CREATE_TIMEOUT_S
    )
    return {name: _created(name, future, settings) for name, future in futures.items()}


def _created(name: str, future: "Future[None]", settings: Settings) -> bool:
    try:
        future.result()
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise KafkaUnavailableError(
            f"Topic {name} could not be created on {settings.kafka_bootstrap_servers}: {describe(error)}."
        ) from None
    return True


def require_topics(settings: Settings) -> None:
    """Raise `KafkaUnavailableError` unless the broker answers and has the topics that the consumer reads and writes."""
    known = reach(make_admin(settings), settings).topics
    needed = (settings.input_topic, settings.results_topic, settings.dead_letter_topic)
    if missing := [name for name in needed if name not in known]:
        raise KafkaUnavailableError(
            f"{settings.kafka_bootstrap_servers} has no topic {', '.join(missing)}. "
            "Create the topics with `moderate topics create`, set INPUT_TOPIC, RESULTS_TOPIC and DEAD_LETTER_TOPIC to "
            "yours, or let this user see them."
        )


def reach(admin: Admin, settings: Settings) -> ClusterMetadata:
    """What the brokers are and have. Raises `KafkaUnavailableError` when none answers."""
    try:
        return admin.list_topics(timeout=REACH_TIMEOUT_S)
    except KafkaException as exception:
        admin.poll(0)  # hands over the errors of its connections, which say more than the time-out
        error = most_telling([*admin.errors, exception.args[0]])
        raise KafkaUnavailableError(
            f"No Kafka broker answered at {settings.kafka_bootstrap_servers} within {REACH_TIMEOUT_S:.0f} s: "
            f"{describe(error)}. {remedy(error)}"
        ) from None
