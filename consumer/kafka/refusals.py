"""What Kafka's errors say: in a sentence, why no broker let a client in, and which settings to look at."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException

_REMEDIES = {
    KafkaError._AUTHENTICATION: (
        "Check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or the token of "
        "KAFKA_SASL_OAUTH_HOOK."
    ),
    KafkaError._SSL: (
        "Check that KAFKA_SSL_CA_LOCATION holds the authority that signed the brokers' certificates, and that "
        "KAFKA_BOOTSTRAP_SERVERS names the brokers as their certificates do."
    ),
}
_OTHERWISE = (
    "Check KAFKA_BOOTSTRAP_SERVERS, the network, KAFKA_SECURITY_PROTOCOL and, where the brokers ask for a client's "
    "certificate, KAFKA_SSL_CERTIFICATE_LOCATION."
)


def most_telling(errors: Sequence[KafkaError]) -> KafkaError:
    """Of the errors of one client's connections, the one that says most."""
    refusals = [error for error in errors if error.code() in _REMEDIES]
    causes = [error for error in errors if error.code() != KafkaError._ALL_BROKERS_DOWN]
    return (refusals or causes or errors)[0]


def remedy(error: KafkaError) -> str:
    """What to do about it, in a sentence that names the settings."""
    return _REMEDIES.get(error.code(), _OTHERWISE)


def describe(error: KafkaException | KafkaError) -> str:
    """What librdkafka says, as one sentence with its error name."""
    kafka_error = error.args[0] if isinstance(error, KafkaException) else error
    return f"{kafka_error.str()} ({kafka_error.name()})"
