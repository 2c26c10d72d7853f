"""Calls to Kafka's client whose errors are values: what they came to, and whether to call again."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.backoff import Backoff


def error_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> KafkaError | None:
    """Call, and return the error that it raised; None when it did what it should."""
    try:
        call(*arguments, **options)
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        return error
    return None


def may_try_again(error: KafkaError) -> bool:
    """Whether the same call of a transactional producer may be made again: its transaction may still be alive."""
    return error.retriable() and not error.fatal() and not error.txn_requires_abort()


def until_done(call: Callable[..., Any], *arguments: Any, patience: Backoff) -> KafkaError | None:
    """Call again while that helps and `patience` lasts; returns the error it ends with, None when it is done."""
    while error := error_of(call, *arguments):
        delay_s = patience.delay_s() if may_try_again(error) else None
        if delay_s is None:
            return error
        time.sleep(delay_s)
    return None


def first_error(error: KafkaError | None, partitions: Sequence[TopicPartition]) -> KafkaError | None:
    """The error of a commit as a whole, or else of one of its partitions."""
    return error or next((partition.error for partition in partitions if partition.error is not None), None)


def commit_and_wait(consumer: Consumer, offsets: list[TopicPartition]) -> KafkaError | None:
    """Commit offsets; returns why Kafka did not take them, None when it did. Blocks, for as long as a broker hangs."""
    try:
        return first_error(None, consumer.commit(offsets=offsets, asynchronous=False) or [])
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        return error
