"""What is said when an offset is gone: librdkafka's words become ours."""

import logging

import pytest
from confluent_kafka import KafkaError, Message
from structlog.testing import capture_logs

from consumer.kafka.offset_reset import stopped_by_reset, tell_of_reset
from consumer.kafka.records import SourceError, raise_unless_passing

GONE = "fetch failed due to requested offset not available on the broker: Broker: Offset out of range"


def line(text: str) -> logging.LogRecord:
    return logging.LogRecord("librdkafka", logging.WARNING, "", 0, text, None, None)


@pytest.mark.parametrize(
    ("target", "setting"),
    [
        ("offset BEGINNING (leader epoch -1)", "earliest"),
        ("cached BEGINNING offset offset 1500 (leader epoch -1)", "earliest"),
        ("offset END (leader epoch -1)", "latest"),
    ],
)
def test_librdkafkas_line_about_an_offset_that_is_gone_becomes_one_structured_warning(
    target: str, setting: str
) -> None:
    place = "OFFSET [rdkafka#consumer-4] [thrd:main]: my.comments-2 [13]: offset reset (at offset 10 (leader epoch -1)"
    with capture_logs() as logs:
        passes = tell_of_reset(line(f"{place}, broker 1) to {target}: {GONE}"))
    assert not passes
    (event,) = logs
    assert (event["event"], event["log_level"]) == ("offset_out_of_range", "warning")
    assert (event["topic"], event["partition"], event["offset"]) == ("my.comments-2", 13, 10)
    assert event["auto_offset_reset"] == setting
    assert {"reading_goes_on", "meaning", "remedy"} <= event.keys()


@pytest.mark.parametrize(
    "text",
    [
        "FAIL [rdkafka#consumer-4] [thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Connect failed: Connection refused",
        "OFFSET [rdkafka#consumer-4] [thrd:main]: comments [0]: offset reset (at offset END (leader epoch -1), broker "
        "1) to offset END (leader epoch -1): failed to query logical offset: Local: Broker transport failure",
    ],
)
def test_other_lines_of_librdkafka_pass_unchanged(text: str) -> None:
    with capture_logs() as logs:
        assert tell_of_reset(line(text))
    assert logs == []


def test_with_error_an_offset_that_is_gone_ends_the_member_with_a_sentence_that_says_where_and_what_to_do() -> None:
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, GONE)
    with pytest.raises(SourceError) as raised:
        raise_unless_passing(error, Message(topic="comments", partition=3, offset=10, error=error))
    sentence = str(raised.value)
    assert "KAFKA_AUTO_OFFSET_RESET=error" in sentence
    assert "offset 10 of comments-3" in sentence
    assert "start again" in sentence


def test_with_error_a_group_without_offsets_is_told_so() -> None:
    error = KafkaError(
        KafkaError._AUTO_OFFSET_RESET, "no previously committed offset available: Local: No offset stored"
    )
    sentence = stopped_by_reset(error, Message(topic="comments", partition=3, error=error))
    assert sentence is not None
    assert "no committed offset for comments-3" in sentence


def test_other_errors_are_not_taken_for_a_reset() -> None:
    error = KafkaError(KafkaError._TRANSPORT)
    assert stopped_by_reset(error, Message(topic="comments", partition=0, error=error)) is None
