"""What librdkafka's clients say by themselves, in our log: its own lines, and errors that it goes on from."""

import logging
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError

from consumer.kafka.offset_reset import tell_of_reset
from consumer.kafka.refusals import describe, remedy

log = structlog.get_logger()

SAY_AGAIN_AFTER_S = 60.0
"""librdkafka finds again with every attempt to connect, once a second, that no broker is there."""


def _is_news(line: logging.LogRecord) -> bool:
    """Failed connections come again and again, and `error_logger` tells of them; KAFKA_EXTRA_CONFIG goes to every
    client, and librdkafka warns of each property that is not for one of them.
    """
    message = line.getMessage()
    return not message.startswith(("FAIL", "GETPID")) and "property and will be ignored by this" not in message


librdkafka_log = logging.getLogger("librdkafka")
librdkafka_log.addFilter(_is_news)
librdkafka_log.addFilter(tell_of_reset)


def error_logger(now_s: Callable[[], float] = time.monotonic) -> Callable[[KafkaError], None]:
    """Logs one client's errors that librdkafka goes on from by itself: that no broker is left, with the cause, once a
    minute while it lasts.

    A fatal one also comes back from the next call and ends the process there.
    """
    cause: KafkaError | None = None
    say_again_at_s = 0.0

    def log_error(error: KafkaError) -> None:
        nonlocal cause, say_again_at_s
        if error.fatal():
            log.error("kafka_fatal", error=describe(error))
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            cause = error
            log.debug("kafka_error", error=describe(error))
        elif now_s() >= say_again_at_s:
            say_again_at_s = now_s() + SAY_AGAIN_AFTER_S
            log.warning("kafka_brokers_down", error=describe(cause or error), remedy=remedy(cause or error))
            cause = None

    return log_error
