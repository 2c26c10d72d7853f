"""The exactly-once checkpoint: what is committed together, and what is sent again after an abort."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from consumer.backoff import Backoff
from consumer.batch import Lease, Outgoing, Record
from consumer.kafka.assignment import Assignment
from consumer.kafka.exactly_once import ExactlyOnceCheckpoint
from consumer.kafka.publisher import Failed, PublishError
from consumer.kafka.transactions import TransactionAbortedError
from tests.fakes import record

TOO_LARGE = KafkaError.MSG_SIZE_TOO_LARGE


class FakeTransactions:
    """Keeps what was committed; fails as it is told: `commit_errors` one after another, `too_large` by value."""

    def __init__(self) -> None:
        self.open: list[Outgoing] = []
        self.committed: list[Outgoing] = []
        self.offsets: dict[tuple[str, int], int] = {}
        self.commits = 0
        self.aborts = 0
        self.failed: list[Failed] = []
        self.commit_errors: list[int] = []
        self.too_large: set[bytes | None] = set()
        self.most_together = 1_000
        self.generations: list[Any] = []
        self.patience = Backoff(0.1, 1.0, 0.3)
        self._offsets: Mapping[tuple[str, int], int] = {}

    def send(self, messages: Sequence[Outgoing], *, one_by_one: bool = False) -> None:
        self.open += messages
        together = not one_by_one and len(messages) > self.most_together
        if together or any(message.value in self.too_large for message in messages):
            self.failed = [Failed(message, KafkaError(TOO_LARGE)) for message in self.open]

    def flush(self) -> None:
        pass

    def send_offsets(self, next_offsets: Mapping[tuple[str, int], int], group_metadata: Any) -> None:
        self.generations.append(group_metadata)
        if self.commit_errors:
            raise TransactionAbortedError(KafkaError(self.commit_errors.pop(0)))
        self._offsets = next_offsets

    def commit(self) -> None:
        assert not self.failed, "librdkafka commits no transaction with a failed message"
        self.committed += self.open
        self.offsets |= self._offsets
        self.open, self.commits = [], self.commits + 1
        self.patience.reset()

    def abort(self) -> None:
        self.open, self.failed, self.aborts = [], [], self.aborts + 1

    def poll(self) -> None:
        pass


class Bench:
    """A checkpoint for partitions 0 and 1, and what it did."""

    def __init__(self, commit_interval_s: float = 1_000.0, max_records: int = 1_000) -> None:
        self.assignment = Assignment()
        self.assignment.grant([("comments", 0), ("comments", 1)])
        self.transactions = FakeTransactions()
        self.generation = 0
        self.checkpoint = ExactlyOnceCheckpoint(
            self.transactions,  # type: ignore[arg-type]
            self.assignment,
            self.next_generation,
            on_checkpoint=lambda _: None,
            too_large=lambda refused: outgoing(refused, b"dead", is_dead_letter=True),
            commit_interval_s=commit_interval_s,
            max_records=max_records,
        )
        self.next_offset = [0, 0]

    def next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def lease(self, partition: int) -> Lease:
        lease = self.assignment.lease("comments", partition)
        assert lease is not None
        return lease

    def complete(self, *partitions: int) -> dict[Lease, int]:
        """A batch with one record of each of these partitions."""
        messages, offsets = [], {}
        for partition in partitions:
            offset = self.next_offset[partition]
            messages.append(outgoing(record(b"", offset, partition), b"%d-%d" % (partition, offset)))
            self.next_offset[partition] = offsets[self.lease(partition)] = offset + 1
        self.assignment.took(offsets)
        self.checkpoint.complete(messages, offsets)
        return offsets

    @property
    def committed(self) -> list[bytes | None]:
        return [message.value for message in self.transactions.committed]


def outgoing(of: Record, value: bytes, is_dead_letter: bool = False) -> Outgoing:
    return Outgoing("results", None, value, (), of, is_dead_letter)


def test_after_a_pause_a_batch_is_committed_at_once_and_under_load_several_share_a_transaction() -> None:
    bench = Bench(commit_interval_s=0.0)
    bench.complete(0)
    bench.checkpoint.serve()
    assert bench.committed == [b"0-0"]
    bench = Bench()
    bench.complete(0)
    bench.checkpoint.finish()
    for _ in range(5):
        bench.complete(0, 1)
        assert 0 < bench.checkpoint.serve() <= 0.1
    assert bench.transactions.commits == 1
    bench.checkpoint.finish()
    assert bench.transactions.commits == 2
    assert bench.transactions.offsets == {("comments", 0): 6, ("comments", 1): 5}
    assert not bench.lease(0).in_flight


def test_a_full_transaction_is_committed_before_its_interval_has_passed() -> None:
    bench = Bench(max_records=4)
    bench.complete(0)
    bench.checkpoint.finish()
    bench.complete(0, 1)
    bench.checkpoint.serve()
    assert bench.transactions.commits == 1
    bench.complete(0, 1)
    bench.checkpoint.serve()
    assert bench.transactions.commits == 2


def test_a_batch_is_in_flight_until_it_is_committed_so_that_a_revoke_waits_for_it() -> None:
    bench = Bench()
    bench.complete(0)
    assert not bench.assignment.wait_until_finished([("comments", 0)], 0.01)
    bench.checkpoint.finish()
    assert bench.assignment.wait_until_finished([("comments", 0)], 0.01)


@given(st.lists(st.sampled_from([KafkaError.ILLEGAL_GENERATION, KafkaError._TIMED_OUT]), max_size=2))
def test_an_aborted_transaction_is_sent_again_whole_and_in_order_with_the_generation_of_then(errors: list[int]) -> None:
    bench = Bench()
    bench.complete(0, 1)
    bench.complete(0)
    bench.transactions.commit_errors = list(errors)
    bench.checkpoint.finish()
    assert bench.committed == [b"0-0", b"1-0", b"0-1"]
    assert bench.transactions.aborts == len(errors)
    assert bench.transactions.generations == list(range(1, len(errors) + 2))


def test_what_belongs_to_another_member_now_is_neither_published_nor_committed_and_the_rest_is() -> None:
    bench = Bench()
    offsets = bench.complete(0, 1)
    bench.complete(1)
    bench.assignment.end([("comments", 1)])
    bench.checkpoint.finish()
    assert bench.committed == [b"0-0"]
    assert bench.transactions.offsets == {("comments", 0): 1}
    assert bench.transactions.aborts == 1, "the transaction that held the lost partition's results is void"
    assert all(lease.in_flight == 0 for lease in offsets)


def test_a_partition_lost_while_an_aborted_transaction_is_retried_is_left_out_of_the_retry() -> None:
    bench = Bench()
    bench.complete(0, 1)
    bench.transactions.commit_errors = [KafkaError.UNKNOWN_MEMBER_ID]
    abort = bench.transactions.abort

    def lose_and_abort() -> None:
        bench.assignment.end([("comments", 0)])
        abort()

    bench.transactions.abort = lose_and_abort  # type: ignore[method-assign]
    bench.checkpoint.finish()
    assert bench.committed == [b"1-0"]
    assert bench.transactions.offsets == {("comments", 1): 1}


def test_a_batch_whose_partitions_are_all_lost_begins_no_transaction() -> None:
    bench = Bench()
    lease = bench.lease(0)
    bench.assignment.took([lease])
    bench.assignment.end([("comments", 0)])
    bench.checkpoint.complete([outgoing(record(b""), b"x")], {lease: 1})
    bench.checkpoint.finish()
    assert (bench.transactions.commits, bench.transactions.open, lease.in_flight) == (0, [], 0)


def test_a_result_too_large_for_its_topic_becomes_a_dead_letter_and_its_neighbours_stay() -> None:
    bench = Bench()
    bench.transactions.too_large = {b"1-0"}
    bench.complete(0, 1)
    bench.complete(0)
    bench.checkpoint.finish()
    assert bench.committed == [b"0-0", b"dead", b"0-1"]
    assert bench.transactions.offsets == {("comments", 0): 2, ("comments", 1): 1}


def test_a_topic_that_takes_results_only_one_by_one_gets_them_so() -> None:
    bench = Bench()
    bench.transactions.most_together = 1
    bench.complete(0, 1)
    bench.checkpoint.finish()
    bench.complete(0, 1)
    bench.checkpoint.finish()
    assert bench.committed == [b"0-0", b"1-0", b"0-1", b"1-1"]


def test_a_failed_message_is_never_committed_whatever_the_cause() -> None:
    bench = Bench()
    bench.complete(0)
    bench.transactions.failed = [Failed(bench.transactions.open[0], KafkaError(KafkaError._MSG_TIMED_OUT))]
    bench.checkpoint.finish()
    assert bench.committed == [b"0-0"]
    assert bench.transactions.aborts == 1


def test_a_dead_letter_that_its_topic_does_not_take_ends_the_process_and_nothing_is_committed() -> None:
    bench = Bench()
    bench.transactions.too_large = {b"0-0", b"dead"}
    bench.complete(0)
    with pytest.raises(PublishError, match=r"comments-0 offset 0 is too large for topic results; raise that topic's"):
        bench.checkpoint.finish()
    assert bench.transactions.commits == 0


@pytest.mark.parametrize("error", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_an_error_that_will_not_pass_ends_the_process_at_once(error: int) -> None:
    bench = Bench()
    bench.complete(0)
    bench.transactions.commit_errors = [error] * 100
    with pytest.raises(PublishError, match="did not take a transaction"):
        bench.checkpoint.finish()
    assert bench.transactions.generations == [1]


def test_an_error_that_does_not_pass_in_time_ends_the_process() -> None:
    bench = Bench()
    bench.complete(0)
    bench.transactions.commit_errors = [KafkaError._TIMED_OUT] * 1_000
    with pytest.raises(PublishError, match="it will be read again"):
        bench.checkpoint.finish()
    assert len(bench.transactions.generations) > 1
