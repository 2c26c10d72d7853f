"""Says what KAFKA_AUTO_OFFSET_RESET did: once for each partition whose offset the topic no longer has.

librdkafka follows the setting by itself, at the assignment as well as in mid-run, and tells of it in a log line only;
that line is made readable here, so that nothing needs to ask the brokers for offsets. With `error` it gives an error
once and then reads nothing more, so that error must end the member.
"""

import logging
import re

import structlog
from confluent_kafka import KafkaError, Message

log = structlog.get_logger()

_RESET = re.compile(
    r": (?P<topic>\S+) \[(?P<partition>\d+)\]: offset reset \(at offset (?P<offset>\d+)\b.*?\)"
    r" to .*?(?P<target>BEGINNING|END)\b"
)
_WENT_ON = {
    "BEGINNING": ("earliest", "at the oldest record that is left"),
    "END": ("latest", "behind the newest record; those before it are skipped"),
}
_MEANING = "records from there on are gone, deleted by the topic's retention or with a topic that was made anew"


def tell_of_reset(line: logging.LogRecord) -> bool:
    """A filter for librdkafka's log: turns its line about an offset that is gone into ours; all others pass."""
    found = _RESET.search(line.getMessage())
    if found is None:
        return True
    setting, went_on = _WENT_ON[found["target"]]
    log.warning(
        "offset_out_of_range",
        topic=found["topic"],
        partition=int(found["partition"]),
        offset=int(found["offset"]),
        reading_goes_on=went_on,
        auto_offset_reset=setting,
        meaning=_MEANING,
        remedy="keep records longer (retention.ms, retention.bytes) than a group may be behind or away",
    )
    return False


def stopped_by_reset(error: KafkaError, message: Message) -> str | None:
    """For the reader: why KAFKA_AUTO_OFFSET_RESET=error ends this member, and what to do; None for any other error."""
    if error.code() != KafkaError._AUTO_OFFSET_RESET:
        return None
    place, offset = f"{message.topic()}-{message.partition()}", message.offset()
    if offset is None or offset < 0:
        cause = f"the group has no committed offset for {place}"
    else:
        cause = f"the group would go on at offset {offset} of {place}, which is not there: {_MEANING}"
    return (
        f"KAFKA_AUTO_OFFSET_RESET=error stops this member: {cause} ({error.str()}). Decide where to read on: set it to "
        "earliest (the oldest record that is left) or latest (skip what is there) and start again, or give the group "
        "other offsets with kafka-consumer-groups --reset-offsets."
    )
