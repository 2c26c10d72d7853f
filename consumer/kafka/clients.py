"""librdkafka configuration from the settings, and the clients made with it, which log through us."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumer.errors import ReaderError
from consumer.kafka.calls import first_error
from consumer.kafka.client_log import error_logger, librdkafka_log
from consumer.kafka.oauth import oauth_callback
from consumer.kafka.refusals import describe
from consumer.settings import Settings

log = structlog.get_logger()


PREFETCH_KBYTES = 16_384
"""Bound on what librdkafka reads ahead (`queued.max.messages.kbytes`), and so on the bytes of one batch: memory stays
flat with large records."""
LARGEST_UNCOMPRESSED_BYTES = 100_000_000
"""The producer's own limit counts uncompressed bytes, the broker's compressed ones; this one must never be the first to
refuse."""

BATCH_BYTES = 200_000
"""The broker refuses whole protocol batches: with one larger than its topic allows, sound records would be sent again,
behind later ones of their key. Topics for results and dead letters must allow more than this."""

LINGER_MS = 1
"""How long the first message may wait for others, while no `flush` asks for it to go at once, as each checkpoint does.
Without, a batch goes out in many requests while it is handed over: 2 µs more a comment."""

RECONNECT_MAX_MS = 1_000
"""librdkafka looks for a new coordinator when the state of its connection to the old one changes. With its own 10 s
between two attempts, a commit of a few seconds never looked, and stood still until a killed broker was back."""

CLASSIC_ONLY = {"heartbeat.interval.ms", "group.protocol.type"}


class KafkaUnavailableError(ReaderError):
    """Kafka cannot be used; the message says which brokers or topic, and what to do."""


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Configuration of a member of the consumer group.

    Under KIP-848 the brokers decide some of what members decide in the classic protocol, and the client refuses to
    start with such settings: they are left out, with one warning.
    """
    classic = settings.kafka_group_protocol == "classic"
    if not classic:
        ignored = sorted(CLASSIC_ONLY & settings.kafka_extra_config.keys())
        ignored += ["KAFKA_SESSION_TIMEOUT_MS"] if "kafka_session_timeout_ms" in settings.model_fields_set else []
        if ignored:
            log.warning(
                "settings_ignored",
                settings=" ".join(ignored),
                meaning="with KAFKA_GROUP_PROTOCOL=consumer the brokers decide these",
            )
    config = common_config(settings) | {
        "group.id": settings.kafka_group_id,
        "group.protocol": settings.kafka_group_protocol,
        "max.poll.interval.ms": settings.kafka_max_poll_interval_ms,
        "auto.offset.reset": settings.kafka_auto_offset_reset,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": PREFETCH_KBYTES,
        "fetch.error.backoff.ms": 100,
    }
    if classic:
        config |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": settings.kafka_session_timeout_ms,
        }
    if settings.kafka_group_instance_id:
        config["group.instance.id"] = settings.kafka_group_instance_id
    return config | {
        name: value for name, value in settings.kafka_extra_config.items() if classic or name not in CLASSIC_ONLY
    }


def reader_config(settings: Settings, group_id: str, offset_reset: str) -> dict[str, Any]:
    """Configuration of a reader that commits nothing (`watch`, the demo)."""
    config = common_config(settings) | {
        "group.id": group_id,
        "enable.auto.commit": False,
        "auto.offset.reset": offset_reset,
        "isolation.level": "read_committed",
    }
    return config | settings.kafka_extra_config


def producer_config(settings: Settings) -> dict[str, Any]:
    """Configuration of an idempotent producer: no loss, no duplicate and no reordering by its own retries."""
    return (
        common_config(settings)
        | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": LINGER_MS,
            "compression.type": "lz4",
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.kbytes": 65_536,
            "message.max.bytes": LARGEST_UNCOMPRESSED_BYTES,
            "delivery.timeout.ms": settings.kafka_delivery_timeout_ms,
        }
        | settings.kafka_extra_config
    )


def transactional_config(settings: Settings) -> dict[str, Any]:
    """Configuration of a producer for transactions.

    With static membership the transactional id is the member's own and stays the same, so a restarted member ends at
    once what its killed predecessor left open. Without, every process has a new one: the group's generation fences
    those that were given up (KIP-447).
    """
    member = settings.kafka_group_instance_id or uuid4().hex
    return producer_config(settings) | {
        # A member's name can hold no slash, so no two pairs of group and member have the same id.
        "transactional.id": f"{settings.kafka_group_id}/{member}",
        "transaction.timeout.ms": settings.kafka_transaction_timeout_ms,
        "delivery.timeout.ms": settings.kafka_transaction_publish_timeout_ms,
    }


def common_config(settings: Settings) -> dict[str, Any]:
    """What every client of these brokers needs: addresses and security."""
    optional = {
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ssl_ca_location,
        "ssl.certificate.location": settings.kafka_ssl_certificate_location,
        "ssl.key.location": settings.kafka_ssl_key_location,
        "ssl.key.password": settings.kafka_ssl_key_password.get_secret_value(),
    }
    hook = settings.kafka_sasl_oauth_hook
    return {
        **({"oauth_cb": oauth_callback(hook)} if hook else {}),
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "comment-moderation",
        "security.protocol": settings.kafka_security_protocol,
        "log.connection.close": False,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
    } | {name: value for name, value in optional.items() if value}


def make_consumer(config: dict[str, Any]) -> Consumer:
    """A consumer that logs through us. Raises `KafkaUnavailableError` when librdkafka refuses the configuration."""
    with _readable_refusal():
        return Consumer(config | {"error_cb": error_logger()}, logger=librdkafka_log)


def make_producer(config: dict[str, Any]) -> Producer:
    """A producer that logs through us. Raises `KafkaUnavailableError` when librdkafka refuses the configuration."""
    with _readable_refusal():
        return Producer(config | {"error_cb": error_logger()}, logger=librdkafka_log)


class Member(Consumer):
    """A consumer that commits: `commit_answers` has the answers to its asynchronous commits, None for a good one; they
    come while it is polled."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.commit_answers: deque[KafkaError | None] = deque()
        super().__init__(config | {"error_cb": error_logger(), "on_commit": self._on_commit}, logger=librdkafka_log)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self.commit_answers.append(first_error(error, partitions))


def make_member(config: dict[str, Any]) -> Member:
    """A consumer that commits. Raises `KafkaUnavailableError` when librdkafka refuses the configuration."""
    with _readable_refusal():
        return Member(config)


class Admin(AdminClient):
    """An admin client; once polled, `errors` says why its connections failed."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.errors: list[KafkaError] = []
        super().__init__(config | {"error_cb": self.errors.append}, logger=librdkafka_log)


def make_admin(settings: Settings) -> Admin:
    """An admin client. Raises `KafkaUnavailableError` when librdkafka refuses the configuration."""
    with _readable_refusal():
        return Admin(common_config(settings) | settings.kafka_extra_config)


@contextmanager
def _readable_refusal() -> Iterator[None]:
    """For making a client. Raises `KafkaUnavailableError` when librdkafka refuses the configuration."""
    try:
        yield
    except KafkaException as error:
        said = re.sub(r'Invalid value ".*?" for', "Invalid value for", describe(error), flags=re.S)  # it may be secret
        raise KafkaUnavailableError(
            f"Kafka's client refuses the configuration: {said}. Check KAFKA_EXTRA_CONFIG and the KAFKA_… settings: "
            "ssl.key.location, for example, is KAFKA_SSL_KEY_LOCATION with KAFKA_SSL_KEY_PASSWORD."
        ) from None
