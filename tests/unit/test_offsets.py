"""Committing on the source's thread: asked for without waiting, answered by a later poll."""

import time
from collections import deque
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumer.kafka.assignment import Assignment
from consumer.kafka.offsets import CommitError, OffsetCommitter


class FakeMember:
    """Remembers what it was asked to commit; the test gives the answers."""

    def __init__(self) -> None:
        self.commit_answers: deque[KafkaError | None] = deque()
        self.asked: list[int] = []
        self.waited: list[int] = []
        self.wait_error: KafkaError | None = None

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> Any:
        (self.asked if asynchronous else self.waited).append(offsets[0].offset)
        if not asynchronous and self.wait_error:
            raise KafkaException(self.wait_error)


class Bench:
    def __init__(self, timeout_s: float = 60.0) -> None:
        self.assignment = Assignment()
        self.assignment.grant([("comments", 0)])
        self.member = FakeMember()
        self.committer = OffsetCommitter(self.member, self.assignment, timeout_s=timeout_s)  # type: ignore[arg-type]

    def acknowledge(self, offset: int) -> None:
        lease = self.assignment.lease("comments", 0)
        assert lease is not None
        self.assignment.acknowledge({lease: offset})


def test_a_commit_is_asked_for_once_and_done_when_it_is_answered() -> None:
    bench = Bench()
    bench.acknowledge(5)
    assert not bench.committer.serve()
    assert not bench.committer.serve()
    assert bench.member.asked == [5]
    bench.member.commit_answers.append(None)
    assert bench.committer.serve()


def test_what_is_acknowledged_meanwhile_is_committed_after_the_answer() -> None:
    bench = Bench()
    bench.acknowledge(5)
    bench.committer.serve()
    bench.acknowledge(9)
    bench.member.commit_answers.append(None)
    assert not bench.committer.serve()
    assert bench.member.asked == [5, 9]
    bench.member.commit_answers.append(None)
    assert bench.committer.serve()


def test_a_revoke_waits_and_the_late_answer_to_an_earlier_commit_counts_for_nothing() -> None:
    bench = Bench()
    bench.acknowledge(5)
    bench.committer.serve()
    assert bench.committer.serve(wait=True)
    assert bench.member.waited == [5]
    bench.acknowledge(9)
    bench.committer.serve()
    bench.member.commit_answers.append(None)  # to the first
    assert not bench.committer.serve(), "9 is not committed yet"
    bench.member.commit_answers.append(None)
    assert bench.committer.serve()


def test_a_refusal_that_passes_is_tried_again_and_one_that_does_not_ends_the_member() -> None:
    bench = Bench()
    bench.acknowledge(5)
    bench.member.wait_error = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
    assert not bench.committer.serve(wait=True)
    bench.member.wait_error = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    time.sleep(0.15)  # the first wait is of up to 0.1 s
    with pytest.raises(CommitError, match="did not take the offsets"):
        bench.committer.serve(wait=True)


def test_an_earlier_failure_counts_no_more_once_nothing_is_left_to_commit() -> None:
    bench = Bench(timeout_s=0.2)
    refusal = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
    bench.acknowledge(5)
    bench.member.wait_error = refusal
    assert not bench.committer.serve(wait=True)
    bench.assignment.end([("comments", 0)])
    assert bench.committer.serve()
    time.sleep(0.3)
    bench.assignment.grant([("comments", 0)])
    bench.acknowledge(7)
    assert not bench.committer.serve(wait=True), "this one is a first failure again, and tried again"


def test_a_commit_that_is_never_answered_ends_the_member() -> None:
    bench = Bench(timeout_s=0.0)
    bench.acknowledge(5)
    bench.committer.serve()
    time.sleep(0.01)
    with pytest.raises(CommitError, match="no answer for KAFKA_DELIVERY_TIMEOUT_MS"):
        bench.committer.serve()
