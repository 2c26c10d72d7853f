"""What a member holds, and what a revoke waits for."""

import threading
import time

from consumer.batch import Lease
from consumer.kafka.assignment import Assignment


def granted(assignment: Assignment, partition: int = 0) -> Lease:
    assignment.grant([("comments", partition)])
    lease = assignment.lease("comments", partition)
    assert lease is not None
    return lease


def test_a_revoke_waits_until_the_work_in_flight_is_finished() -> None:
    assignment = Assignment()
    lease = granted(assignment)
    assignment.took([lease])
    threading.Timer(0.2, assignment.finished, [[lease]]).start()
    began = time.monotonic()
    assert assignment.wait_until_finished([("comments", 0)], timeout_s=30)
    assert 0.15 < time.monotonic() - began < 10
    assert lease.valid


def test_a_revoke_gives_up_at_its_deadline() -> None:
    assignment = Assignment()
    lease = granted(assignment)
    assignment.took([lease])
    assert not assignment.wait_until_finished([("comments", 0)], timeout_s=0.05)


def test_a_revoke_does_not_wait_for_partitions_that_stay() -> None:
    assignment = Assignment()
    busy, leaving = granted(assignment, 0), granted(assignment, 1)
    assignment.took([busy])
    assert assignment.wait_until_finished([("comments", 1)], timeout_s=30)
    assignment.end([("comments", 1)])
    assert busy.valid
    assert not leaving.valid
    assert assignment.partitions() == [("comments", 0)]


def test_work_in_flight_is_void_once_its_lease_has_ended() -> None:
    assignment = Assignment()
    lease = granted(assignment)
    assignment.took([lease])
    assignment.end([("comments", 0)])
    assert not lease.valid
    assert assignment.lease("comments", 0) is None


def test_a_partition_that_comes_back_has_a_new_lease() -> None:
    assignment = Assignment()
    old = granted(assignment)
    assignment.end([("comments", 0)])
    assert granted(assignment) is not old


def test_a_revoke_does_not_wait_for_a_dead_pipeline() -> None:
    assignment = Assignment()
    lease = granted(assignment)
    assignment.took([lease])
    threading.Timer(0.1, assignment.abandon).start()
    began = time.monotonic()
    assert not assignment.wait_until_finished([("comments", 0)], timeout_s=60)
    assert time.monotonic() - began < 30


def test_an_offset_may_be_committed_once_and_only_while_the_partition_is_held() -> None:
    assignment = Assignment()
    kept, leaving = granted(assignment, 0), granted(assignment, 1)
    assignment.acknowledge({kept: 10, leaving: 20})
    assignment.end([("comments", 1)])
    assert assignment.acknowledged() == {kept: 10}
    assignment.committed({kept: 10})
    assert assignment.acknowledged() == {}


def test_an_acknowledgement_that_comes_during_a_commit_is_not_forgotten() -> None:
    assignment = Assignment()
    lease = granted(assignment)
    assignment.acknowledge({lease: 10})
    committing = assignment.acknowledged()
    assignment.acknowledge({lease: 15})
    assignment.committed(committing)
    assert assignment.acknowledged() == {lease: 15}
