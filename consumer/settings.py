"""Every setting in one typed place: name, unit, default, meaning; refused at start when the combination is unsafe."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from consumer.policy import DEFAULT_REJECT, DEFAULT_REVIEW
from consumer.settings_checks import problems
from consumer.settings_lists import Networks, Origins
from consumer.settings_parsing import json_object, labels_object

Threshold = Annotated[float, Field(ge=0.0, le=1.0)]
Thresholds = Annotated[dict[str, Threshold], NoDecode, BeforeValidator(json_object)]
Labels = Annotated[dict[str, str], NoDecode, BeforeValidator(json_object)]
ModelLabels = Annotated[dict[str, str | dict[str, str]], NoDecode, BeforeValidator(labels_object)]
ClientConfig = Annotated[dict[str, str | int | float | bool], NoDecode, BeforeValidator(json_object)]
REVOKE_SHARE = 0.25
"""Of KAFKA_MAX_POLL_INTERVAL_MS."""
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


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
    kafka_group_protocol: Literal["classic", "consumer"] = Field(
        "classic",
        description="Rebalance protocol: `classic` (cooperative-sticky), or `consumer` (KIP-848, brokers from Kafka "
        "4.0), where the brokers set the session timeout.",
    )
    kafka_auto_offset_reset: Literal["earliest", "latest", "error"] = Field(
        "earliest",
        description="Where a group begins that has no committed offset, or whose committed offset the topic's "
        "retention has removed; error = stop.",
    )
    kafka_session_timeout_ms: int = Field(
        45_000,
        ge=6_000,
        description="Milliseconds without a heartbeat until the group gives a member up; only in the classic protocol.",
    )
    kafka_max_poll_interval_ms: int = Field(
        300_000,
        ge=10_000,
        description="Milliseconds between two polls until the group gives a member up; a quarter of it, or "
        "SHUTDOWN_TIMEOUT_S where that is less, is the deadline for finishing work on a revoke.",
    )
    kafka_delivery_timeout_ms: int = Field(
        120_000,
        ge=1_000,
        description="Milliseconds a result or an offset commit may stay unacknowledged, whatever is tried, until the "
        "process stops with an error.",
    )
    kafka_transaction_timeout_ms: int = Field(
        10_000,
        ge=1_000,
        description="Exactly-once: milliseconds until the brokers abort the transaction of a member that died; "
        "`read_committed` subscribers wait that long for it.",
    )
    kafka_transaction_commit_interval_ms: int = Field(
        100,
        ge=0,
        description="Exactly-once: least milliseconds between two commits under load; an idle member commits at once.",
    )
    kafka_transaction_max_records: int = Field(
        5_000, ge=1, description="Exactly-once: comments after which a transaction is committed before its interval."
    )
    kafka_transaction_publish_timeout_ms: int = Field(
        5_000,
        ge=100,
        description="Exactly-once: milliseconds one attempt to publish and commit may take until it is aborted and "
        "tried again.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "", description="SASL mechanism; needs a SASL security protocol."
    )
    kafka_sasl_oauth_hook: str = Field(
        "",
        pattern=r"^$|^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="OAUTHBEARER: `module:function` of yours that returns `(token, expires_at)`, seconds since 1970.",
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

    delivery: Literal["at-least-once", "exactly-once"] = Field(
        "at-least-once",
        description="Delivery guarantee; with exactly-once, subscribers that read with "
        "`isolation.level=read_committed` see each comment once.",
    )
    results_include_text: bool = Field(True, description="Whether a tagged comment repeats the comment's text.")

    model: str = Field(
        "bundled",
        min_length=1,
        description="`bundled`, a model directory, or a Hugging Face id that is already in the local cache. Several, "
        "with commas between them, answer together.",
    )
    model_device: str = Field("auto", description="Where the model runs: `auto`, `cpu`, `cuda`, `cuda:1`.")
    model_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the model; auto = the fastest that is exact enough here."
    )
    model_backend: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="What runs the model; auto = OpenVINO on a CPU where it is installed, PyTorch in CUDA graphs on an "
        "NVIDIA GPU, where these agree with PyTorch; else PyTorch.",
    )
    model_labels: ModelLabels = Field(
        default_factory=dict,
        description='JSON object from the model\'s label names to ours, such as `{"LABEL_0": "negative"}` or '
        '`{"LABEL_1": "toxicity.toxic"}`; with several models, an object for each, named as in MODEL: '
        '`{"my-model": {"LABEL_0": "negative"}}`.',
    )
    max_batch_records: int = Field(
        256, ge=1, le=100_000, description="Most records in one batch, the unit of checkpointing."
    )
    max_batch_tokens: int = Field(
        1_024,
        ge=16,
        description="Most tokens (padding included) in one forward pass of the model; a GPU wants more, such as 16384.",
    )

    redis_url: SecretStr = Field(
        SecretStr(""), description="`redis://` or `rediss://` URL of the shared answer cache. Empty = memory only."
    )
    cache_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs the answers in Redis, the same random text for all members, 16 characters at least. Without "
        "it whoever can write to Redis decides what is allowed, and can guess texts from keys.",
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

    dead_letter_alarm_share: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Share of dead letters among the records of the last minute (100 at least) from which it is said "
        "loudly that something is wrong upstream.",
    )
    dead_letter_pause: bool = Field(
        False,
        description="Whether the consumer also pauses then, until a person sends it SIGUSR1.",
    )

    shutdown_timeout_s: float = Field(
        30.0, gt=0, description="Seconds to finish work in flight after SIGTERM or SIGINT."
    )
    http_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port of the HTTP server (health, metrics, predict); 0 = none beside the stream, 8000 for "
        "`moderate serve`.",
    )
    http_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address the HTTP server listens on; `0.0.0.0` = all. Beyond loopback, comments are taken only "
        "where HTTP_TOKEN is set.",
    )
    http_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token that whoever sends comments by HTTP must have. Empty = none needed on a loopback "
        "address.",
    )
    http_allowed_origins: Origins = Field(
        (),
        description="Origins of web pages whose browsers may call the HTTP server, with commas between them, such as "
        "`https://www.example.org`; `*` = all, which needs HTTP_TOKEN.",
    )
    http_trusted_proxies: Networks = Field(
        (),
        description="Addresses and networks of the proxies before the HTTP server, with commas between them, whose "
        "`X-Forwarded-Proto`, `-Host` and `-Prefix` are believed.",
    )
    http_max_connections: int = Field(
        512,
        ge=16,
        description="Most HTTP connections at once. Beyond it idle ones are closed; where none is, only health and "
        "metrics are answered, and the rest is refused (503).",
    )
    http_max_request_bytes: int = Field(
        4_194_304,
        ge=1_024,
        description="Largest HTTP request body, in bytes, unpacked where it is gzip; a larger one is refused (413).",
    )
    http_max_waiting_texts: int = Field(
        1_024,
        ge=256,
        description="Texts of HTTP callers that may wait for the model, and as many that may be cleaned and looked up; "
        "more are refused (429).",
    )
    http_timeout_ms: int = Field(
        10_000,
        ge=1,
        description="Milliseconds an HTTP caller's texts may wait and be classified; then the answer is 504. A caller "
        "may ask for less with the header `X-Request-Timeout-Ms`.",
    )
    perspective_attributes: Labels = Field(
        {"TOXICITY": "toxicity.toxic"},
        description='JSON object `{"ATTRIBUTE": "group.label"}`: which score answers which attribute of the '
        "Perspective API. It replaces the default.",
    )
    perspective_skip_unknown: bool = Field(
        False,
        description="Whether an attribute of the Perspective API that the model has no label for is left out of the "
        "answer, and named in the log; otherwise the request is refused (400), as it is where no attribute is left.",
    )
    health_stall_timeout_s: float = Field(
        240.0,
        gt=0,
        description="Seconds a stage may stand still until `/healthz` fails; must be above KAFKA_DELIVERY_TIMEOUT_MS "
        "and the deadline of a revoke (see KAFKA_MAX_POLL_INTERVAL_MS) together.",
    )
    tracing: bool = Field(
        False,
        description="Whether spans are sent by OpenTelemetry (extra `otel`); where to and as what say its own OTEL_… "
        "variables.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto = readable on a terminal, JSON otherwise."
    )

    @property
    def revoke_timeout_s(self) -> float:
        """How long a revoke may spend on finishing work; the rest of the group waits meanwhile."""
        return min(self.kafka_max_poll_interval_ms / 1000 * REVOKE_SHARE, self.shutdown_timeout_s)

    @model_validator(mode="after")
    def _refuse_unsafe_combinations(self) -> Self:
        for problem in problems(self):
            raise ValueError(problem)
        return self
