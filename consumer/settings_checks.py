"""Combinations of settings that are refused at start, each with a sentence that says how to mend it."""

from typing import TYPE_CHECKING

from consumer.policy import never_reviewed

if TYPE_CHECKING:
    from consumer.settings import Settings

GUARDED_CLIENT_SETTINGS = {
    "acks": "a comment is acknowledged only when all in-sync replicas have its result",
    "batch.size": "with batches larger than the results topic takes, sound results would be refused",
    "bootstrap.servers": "set KAFKA_BOOTSTRAP_SERVERS instead",
    "enable.ssl.certificate.verification": "brokers must prove who they are; set KAFKA_SSL_CA_LOCATION",
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
    "security.protocol": "set KAFKA_SECURITY_PROTOCOL instead",
    "session.timeout.ms": "set KAFKA_SESSION_TIMEOUT_MS instead",
    "group.instance.id": "set KAFKA_GROUP_INSTANCE_ID instead",
    "group.protocol": "set KAFKA_GROUP_PROTOCOL instead",
    "partition.assignment.strategy": "members of one group must agree on cooperative-sticky",
    "request.required.acks": "a comment is acknowledged only when all in-sync replicas have its result",
    "ssl.endpoint.identification.algorithm": "brokers must be who they say they are",
    "transaction.timeout.ms": "set KAFKA_TRANSACTION_TIMEOUT_MS instead",
    "transactional.id": "set DELIVERY=exactly-once instead; each member then gets an id of its own",
}


def problems(s: "Settings") -> list[str]:
    """One sentence for each unsafe combination, saying how to mend it."""
    found = []
    topics = [s.input_topic, s.results_topic, s.dead_letter_topic, s.feedback_topic]
    if len(set(topics)) < len(topics):
        found.append(
            "INPUT_TOPIC, RESULTS_TOPIC, DEAD_LETTER_TOPIC and FEEDBACK_TOPIC must be four different "
            "topics, or the consumer would read its own output."
        )
    if s.kafka_group_protocol == "classic" and s.kafka_session_timeout_ms >= s.kafka_max_poll_interval_ms:
        found.append(
            "KAFKA_SESSION_TIMEOUT_MS must be below KAFKA_MAX_POLL_INTERVAL_MS; lower the first or raise the second."
        )
    for name in sorted(GUARDED_CLIENT_SETTINGS.keys() & s.kafka_extra_config.keys()):
        found.append(f"KAFKA_EXTRA_CONFIG must not set {name}: {GUARDED_CLIENT_SETTINGS[name]}. Remove it.")
    found += _security_problems(s)
    if s.delivery == "exactly-once":
        found += _transaction_problems(s)
    url = s.redis_url.get_secret_value()
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        found.append(
            "REDIS_URL must begin with redis://, rediss:// or unix://; leave it empty for a cache in memory only."
        )
    token = s.http_token.get_secret_value()
    if token != "".join(token.split()):
        found.append("HTTP_TOKEN has white space in it, which no header carries; choose another, or mend the file.")
    if "*" in s.http_allowed_origins and not token:
        found.append(
            "HTTP_ALLOWED_ORIGINS=* lets every web page in, so it needs HTTP_TOKEN; set it, or name the origins."
        )
    longest_wait_s = s.kafka_delivery_timeout_ms / 1000 + s.revoke_timeout_s
    if s.health_stall_timeout_s <= longest_wait_s:
        found.append(
            f"HEALTH_STALL_TIMEOUT_S must be above {longest_wait_s:g}, what KAFKA_DELIVERY_TIMEOUT_MS and the deadline "
            "of a revoke add up to, or waiting for Kafka would pass for a dead stage; raise it or lower those."
        )
    if {"policy_review", "policy_reject"} <= s.model_fields_set:  # else the model's calibration may take part
        found += never_reviewed(s.policy_review, s.policy_reject)
    return found


def _security_problems(s: "Settings") -> list[str]:
    found = []
    sasl = s.kafka_security_protocol.startswith("SASL")
    if sasl and not s.kafka_sasl_mechanism:
        found.append(
            f"KAFKA_SECURITY_PROTOCOL={s.kafka_security_protocol} needs KAFKA_SASL_MECHANISM; set it, "
            "for example to SCRAM-SHA-512."
        )
    if s.kafka_sasl_mechanism and not sasl:
        found.append(
            f"KAFKA_SASL_MECHANISM={s.kafka_sasl_mechanism} needs KAFKA_SECURITY_PROTOCOL=SASL_SSL (or "
            "SASL_PLAINTEXT); without it the password would not be used."
        )
    if s.kafka_sasl_mechanism == "OAUTHBEARER":
        found += _oauth_problems(s)
    elif s.kafka_sasl_mechanism and not (s.kafka_sasl_username and s.kafka_sasl_password.get_secret_value()):
        found.append("KAFKA_SASL_MECHANISM needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.")
    if s.kafka_sasl_oauth_hook and s.kafka_sasl_mechanism != "OAUTHBEARER":
        found.append("KAFKA_SASL_OAUTH_HOOK needs KAFKA_SASL_MECHANISM=OAUTHBEARER; without it nobody calls the hook.")
    if bool(s.kafka_ssl_certificate_location) != bool(s.kafka_ssl_key_location):
        found.append("KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION belong together; set both or neither.")
    return found


def _oauth_problems(s: "Settings") -> list[str]:
    found = []
    own_method = s.kafka_extra_config.get("sasl.oauthbearer.method", "default") != "default"
    if bool(s.kafka_sasl_oauth_hook) == own_method:
        found.append(
            "KAFKA_SASL_MECHANISM=OAUTHBEARER needs one source of tokens: either KAFKA_SASL_OAUTH_HOOK, or "
            '"sasl.oauthbearer.method": "oidc" with its other properties in KAFKA_EXTRA_CONFIG.'
        )
    if s.kafka_sasl_username or s.kafka_sasl_password.get_secret_value():
        found.append(
            "KAFKA_SASL_MECHANISM=OAUTHBEARER takes no KAFKA_SASL_USERNAME and no KAFKA_SASL_PASSWORD, because the "
            "token says who this is. Remove them."
        )
    return found


def _transaction_problems(s: "Settings") -> list[str]:
    """A transaction must be over before the brokers abort it on their own, or its member is fenced."""
    needed_ms = s.kafka_transaction_commit_interval_ms + s.kafka_transaction_publish_timeout_ms
    found = []
    if s.kafka_delivery_timeout_ms <= needed_ms:
        found.append(
            f"KAFKA_DELIVERY_TIMEOUT_MS ({s.kafka_delivery_timeout_ms}) must exceed "
            f"KAFKA_TRANSACTION_COMMIT_INTERVAL_MS plus KAFKA_TRANSACTION_PUBLISH_TIMEOUT_MS ({needed_ms}), or nothing "
            "is ever tried twice; raise the first or lower one of the others."
        )
    if s.kafka_transaction_timeout_ms > needed_ms:
        return found
    return [
        *found,
        f"KAFKA_TRANSACTION_TIMEOUT_MS ({s.kafka_transaction_timeout_ms}) must exceed "
        f"KAFKA_TRANSACTION_COMMIT_INTERVAL_MS plus KAFKA_TRANSACTION_PUBLISH_TIMEOUT_MS ({needed_ms}), or the brokers "
        "abort transactions that are still being written; raise the first or lower one of the others.",
    ]
