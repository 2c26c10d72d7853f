"""Which Kafka errors pass by themselves: one list for everything that reads, one for everything that writes."""

from confluent_kafka import KafkaError

UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
    }
)
"""The brokers cannot be reached just now; librdkafka goes on trying."""

READING = UNREACHABLE | {KafkaError._PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED}
"""librdkafka recovers from these by itself: reading goes on with the next poll."""

REBALANCING = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""These pass with the rebalance under way: partitions kept are committed in the new generation, the leases of those
taken away end, and with them what there was to commit."""

COMMITTING = (
    UNREACHABLE
    | REBALANCING
    | {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._WAIT_COORD,
    }
)
"""Offsets that were not committed for one of these may be committed a moment later."""


def reading_passes(error: KafkaError) -> bool:
    """Whether reading goes on by itself after this error."""
    return not error.fatal() and (error.retriable() or error.code() in READING)


def committing_passes(error: KafkaError) -> bool:
    """Whether the same commit may be tried again after this error."""
    return not error.fatal() and (error.retriable() or error.code() in COMMITTING)
