"""Every setting in one typed place: name, unit, default, meaning; refused at start when the combination is unsafe."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from consumer.policy import DEFAULT_REJECT, DEFAULT_REVIEW, never_reviewed
from consumer.settings_parsing import json_object

Threshold = Annotated[float, Field(ge=0.0, le=1.0)]
Thresholds = Annotated[dict[str, Threshold], NoDecode, BeforeValidator(json_object)]
Labels = Annotated[dict[str, str], NoDecode, BeforeValidator(json_object)]
ClientConfig = Annotated[dict[str, str | int | float | bool], NoDecode, BeforeValidator(json_object)]
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]

GUARDED_CLIENT_SETTINGS = {
    "acks": "a comment is acknowledged only when all in-sync replicas have its result",
    "bootstrap.servers": "set KAFKA_BOOTSTRAP_SERVERS instead",
    "enable.auto.commit": "offsets are committed only after every result is acknowledged",
    "enable.auto.offset.store": "offsets are committed only after every result is acknowledged",
    "enable.idempotence": "without it a retry can duplicate or reorder results",
    "group.id": "set KAFKA_GROUP_ID instead",
    "auto.offset.reset": "set KAFKA_AUTO_OFFSET_RESET instead",
    "delivery.timeout.ms": "set KAFKA_DELIVERY_TIMEOUT_MS instead",
    "isolation.level": "records of aborted transactions are no comments",
    "max.poll.interval.ms": "set KAFKA_MAX_POLL_INTERVAL_MS instead",
    "message.timeout.ms": "set KAFKA_DELIVERY_TIMEOUT_MS instead",
    "metadata.broker.list": "set KAFKA_BOOTSTRAP_SERVERS instead",
    "session.timeout.ms": "set KAFKA_SESSION_TIMEOUT_MS instead",
    "group.instance.id": "set KAFKA_GROUP_INSTANCE_ID instead",
    "group.protocol": "only the classic group protocol is supported",
    "partition.assignment.strategy": "members of one group must agree on cooperative-sticky",
    "request.required.acks": "a comment is acknowledged only when all in-sync replicas have its result",
    "transactional.id": "exactly-once delivery is not offered by this version",
}


class Settings(BaseSettings):
    """The settings of every command, read from the environment and from `.env` in the working directory."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="forbid", hide_input_in_errors=True
    )

    kafka_bootstrap_servers: str = Field(
        "", description="Kafka brokers, `host:port`, comma-separated. Required by every command that talks to Kafka."
    )
    kafka_group_id: str = Field(
        "comment-moderation", min_length=1, description="Consumer group; members with the same id share the work."
    )
    kafka_group_instance_id: str = Field(
        "", description="Static membership: a name that is unique and stable per member. Empty = dynamic."
    )
    kafka_auto_offset_reset: Literal["earliest", "latest", "error"] = Field(
        "earliest", description="Where a group without a committed offset begins."
    )
    kafka_session_timeout_ms: int = Field(
        45_000, ge=6_000, description="Milliseconds without a heartbeat until the group gives a member up."
    )
    kafka_max_poll_interval_ms: int = Field(
        300_000,
        ge=10_000,
        description="Milliseconds between two polls until the group gives a member up; a quarter of it is the "
        "deadline for finishing work on a revoke.",
    )
    kafka_delivery_timeout_ms: int = Field(
        120_000,
        ge=1_000,
        description="Milliseconds a result or an offset commit may stay unacknowledged until the process stops with "
        "an error.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "", description="SASL mechanism; needs a SASL security protocol."
    )
    kafka_sasl_username: str = Field("", description="SASL user name.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="SASL password.")
    kafka_ssl_ca_location: str = Field("", description="Path of the CA certificates (PEM). Empty = the system's.")
    kafka_ssl_certificate_location: str = Field("", description="Path of the client certificate (PEM), for mutual TLS.")
    kafka_ssl_key_location: str = Field("", description="Path of the client's private key (PEM).")
    kafka_ssl_key_password: SecretStr = Field(SecretStr(""), description="Password of the private key.")
    kafka_extra_config: ClientConfig = Field(
        default_factory=dict,
        repr=False,
        description="JSON object of further librdkafka properties, given to the consumer and the producer.",
    )

    input_topic: TopicName = Field("comments", description="Topic the comments are read from.")
    results_topic: TopicName = Field("comments.tagged", description="Topic the tagged comments are written to.")
    dead_letter_topic: TopicName = Field(
        "comments.dead-letter", description="Topic for records that cannot be processed."
    )
    feedback_topic: TopicName = Field("comments.feedback", description="Topic for moderators' corrections.")
    topic_partitions: int = Field(
        6,
        ge=1,
        description="Partitions per topic that `topics create` makes; the most members that can share the work.",
    )
    topic_replication_factor: int = Field(
        1, ge=1, description="Replicas per partition that `topics create` asks for; 3 in production."
    )
    topic_retention_hours: int = Field(168, ge=1, description="Hours `topics create` keeps records for.")
    input_max_record_bytes: int = Field(
        1_048_588,
        ge=1_024,
        description="Largest record the input topic takes, in bytes; results and dead letters get twice that and 64 "
        "KiB.",
    )

    delivery: Literal["at-least-once"] = Field("at-least-once", description="Delivery guarantee.")
    results_include_text: bool = Field(True, description="Whether a tagged comment repeats the comment's text.")

    model: str = Field(
        "bundled",
        min_length=1,
        description="`bundled`, a model directory, or a Hugging Face id that is already in the local cache.",
    )
    model_device: str = Field("auto", description="Where the model runs: `auto`, `cpu`, `cuda`, `cuda:1`.")
    model_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the model; auto = the fastest that is exact enough here."
    )
    model_labels: Labels = Field(
        default_factory=dict,
        description='JSON object from the model\'s label names to ours, such as `{"LABEL_0": "negative"}` or '
        '`{"LABEL_1": "toxicity.toxic"}`.',
    )
    max_batch_records: int = Field(
        256, ge=1, le=100_000, description="Most records in one batch, the unit of checkpointing."
    )
    max_batch_tokens: int = Field(
        2_048, ge=16, description="Most tokens (padding included) in one forward pass of the model."
    )

    redis_url: SecretStr = Field(
        SecretStr(""), description="`redis://` or `rediss://` URL of the shared answer cache. Empty = memory only."
    )
    cache_secret: SecretStr = Field(
        SecretStr(""),
        description="Key of the cache digests, the same for all members; with it, outsiders cannot guess texts from "
        "keys.",
    )
    cache_ttl_s: int = Field(604_800, ge=1, description="Seconds Redis keeps an answer.")
    cache_timeout_ms: int = Field(
        100, ge=1, description="Milliseconds a batch waits for Redis before it goes on without."
    )
    cache_memory_entries: int = Field(50_000, ge=0, description="Answers kept in this process's memory.")

    policy_review: Thresholds = Field(
        dict(DEFAULT_REVIEW),
        description='JSON object `{"group.label": score}`: at or above it a comment goes to review. '
        "Unset = what the model was calibrated to, else the default.",
    )
    policy_reject: Thresholds = Field(
        dict(DEFAULT_REJECT),
        description='JSON object `{"group.label": score}`: at or above it a comment is rejected. '
        "Unset = what the model was calibrated to, else the default.",
    )

    shutdown_timeout_s: float = Field(
        30.0, gt=0, description="Seconds to finish work in flight after SIGTERM or SIGINT."
    )
    http_port: int = Field(
        0,
        ge=0,
        le=0,
        description="Port of the HTTP server; 0 = off. This version has no server yet, so only 0 is taken.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto = readable on a terminal, JSON otherwise."
    )

    @model_validator(mode="after")
    def _refuse_unsafe_combinations(self) -> Self:
        for problem in _problems(self):
            raise ValueError(problem)
        return self


def _problems(s: Settings) -> list[str]:
    """One sentence for each unsafe combination, saying how to mend it."""
    problems = []
    topics = [s.input_topic, s.results_topic, s.dead_letter_topic, s.feedback_topic]
    if len(set(topics)) < len(topics):
        problems.append(
            "INPUT_TOPIC, RESULTS_TOPIC, DEAD_LETTER_TOPIC and FEEDBACK_TOPIC must be four different "
            "topics, or the consumer would read its own output."
        )
    if s.kafka_session_timeout_ms >= s.kafka_max_poll_interval_ms:
        problems.append(
            "KAFKA_SESSION_TIMEOUT_MS must be below KAFKA_MAX_POLL_INTERVAL_MS; lower the first or raise the second."
        )
    for name in sorted(GUARDED_CLIENT_SETTINGS.keys() & s.kafka_extra_config.keys()):
        problems.append(f"KAFKA_EXTRA_CONFIG must not set {name}: {GUARDED_CLIENT_SETTINGS[name]}. Remove it.")
    sasl = s.kafka_security_protocol.startswith("SASL")
    if sasl and not s.kafka_sasl_mechanism:
        problems.append(
            f"KAFKA_SECURITY_PROTOCOL={s.kafka_security_protocol} needs KAFKA_SASL_MECHANISM; set it, "
            "for example to SCRAM-SHA-512."
        )
    if s.kafka_sasl_mechanism and not sasl:
        problems.append(
            f"KAFKA_SASL_MECHANISM={s.kafka_sasl_mechanism} needs KAFKA_SECURITY_PROTOCOL=SASL_SSL (or "
            "SASL_PLAINTEXT); without it the password would not be used."
        )
    if s.kafka_sasl_mechanism and not (s.kafka_sasl_username and s.kafka_sasl_password.get_secret_value()):
        problems.append("KAFKA_SASL_MECHANISM needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.")
    if bool(s.kafka_ssl_certificate_location) != bool(s.kafka_ssl_key_location):
        problems.append(
            "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION belong together; set both or neither."
        )
    url = s.redis_url.get_secret_value()
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        problems.append(
            "REDIS_URL must begin with redis://, rediss:// or unix://; leave it empty for a cache in memory only."
        )
    if {"policy_review", "policy_reject"} <= s.model_fields_set:  # else the model's calibration may take part
        problems += never_reviewed(s.policy_review, s.policy_reject)
    return problems
