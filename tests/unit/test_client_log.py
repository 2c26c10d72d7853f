"""What is logged of errors that librdkafka goes on from by itself."""

from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from consumer.kafka.client_log import SAY_AGAIN_AFTER_S, error_logger

REFUSED = KafkaError(KafkaError._TRANSPORT, "Connection refused")
ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


def test_that_no_broker_is_left_is_said_with_its_cause_and_again_after_a_minute() -> None:
    clock_s = 1_000.0
    log_error = error_logger(now_s=lambda: clock_s)
    with capture_logs() as lines:
        for _ in range(3 * int(SAY_AGAIN_AFTER_S)):
            log_error(REFUSED)
            log_error(ALL_DOWN)
            clock_s += 1.0
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert len(warnings) == 3
    for warning in warnings:
        assert warning["event"] == "kafka_brokers_down"
        assert "Connection refused" in warning["error"]
        assert "KAFKA_BOOTSTRAP_SERVERS" in warning["remedy"]


def test_each_client_says_it_for_itself() -> None:
    with capture_logs() as lines:
        error_logger()(ALL_DOWN)
        error_logger()(ALL_DOWN)
    assert [line["event"] for line in lines] == ["kafka_brokers_down"] * 2


def test_a_fatal_error_is_always_said() -> None:
    fatal = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
    log_error = error_logger()
    with capture_logs() as lines:
        log_error(fatal)
        log_error(fatal)
    assert [(line["event"], line["log_level"]) for line in lines] == [("kafka_fatal", "error")] * 2
