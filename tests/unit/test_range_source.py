"""The source that reads a range of time: up to its end, once, and what a span is."""

from collections.abc import Iterable
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumer.kafka.assignment import Assignment
from consumer.kafka.range_source import RangeProgress, RangeSource, Span, TimeRange, find_spans
from consumer.kafka.records import SourceError

HOUR_MS = 3_600_000
BEGIN_MS = 1_772_357_400_000
RANGE = TimeRange(BEGIN_MS, BEGIN_MS + HOUR_MS)


def record(partition: int, offset: int) -> Message:
    return Message(topic="comments", partition=partition, offset=offset, value=b"{}")


def end_of_partition(partition: int, offset: int) -> Message:
    return Message(topic="comments", partition=partition, offset=offset, error=KafkaError(KafkaError._PARTITION_EOF))


class ScriptedConsumer:
    """Gives the messages it was made with, and answers for times and offsets as it was told."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.messages = list(messages)
        self.assigned: dict[int, int] = {}
        self.closed = False

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = {place.partition: place.offset for place in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            del self.assigned[place.partition]

    def poll(self, _timeout: float) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def consume(self, count: int, timeout: float) -> list[Message]:
        assert timeout == 0
        taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def close(self) -> None:
        self.closed = True


class CommitsLater:
    """Offsets that are committed at the third time of asking."""

    def __init__(self) -> None:
        self.served = 0

    def serve(self, *, wait: bool = False) -> bool:  # noqa: ARG002
        self.served += 1
        return self.served >= 3


class Reading:
    """A range source over a scripted consumer."""

    def __init__(self, spans: dict[int, Span], messages: Iterable[Message], max_records: int = 100) -> None:
        self.consumer = ScriptedConsumer(messages)
        self.assignment = Assignment()
        self.progress = RangeProgress()
        self.offsets = CommitsLater()
        self.source = RangeSource(
            cast(Consumer, self.consumer),
            "comments",
            spans,
            self.assignment,
            self.offsets,
            self.progress,
            max_records=max_records,
        )

    def take(self) -> tuple[list[tuple[int, int]], dict[int, int]] | None:
        """Places of the records of the next batch, and its next offsets by partition."""
        batch = self.source.take(0.01)
        if batch is None:
            return None
        places = [(item.record.partition, item.record.offset) for item in batch.items]
        return places, {lease.partition: offset for lease, offset in batch.next_offsets.items()}


def test_a_range_is_read_up_to_its_end_and_no_further() -> None:
    messages = [record(0, 5), record(1, 9), record(0, 6), record(1, 10), record(0, 7), record(1, 11)]
    reading = Reading({0: Span(5, 5, 7), 1: Span(9, 9, 11), 2: Span(3, 3, 3)}, messages)
    assert reading.consumer.assigned == {0: 5, 1: 9}
    assert reading.take() == ([(0, 5), (1, 9), (0, 6), (1, 10)], {0: 7, 1: 11})
    assert reading.consumer.assigned == {}, "what lies behind the range is not fetched"
    assert reading.progress.read == reading.progress.total == 4


def test_an_interrupted_range_goes_on_where_its_group_had_committed() -> None:
    reading = Reading({0: Span(5, 7, 9), 1: Span(0, 4, 4)}, [record(0, 7), record(0, 8)])
    assert reading.consumer.assigned == {0: 7}
    assert (reading.progress.read, reading.progress.total) == (6, 8)
    assert reading.take() == ([(0, 7), (0, 8)], {0: 9})


@pytest.mark.parametrize("behind", [end_of_partition(0, 9), record(0, 12)], ids=["end of partition", "later record"])
def test_an_end_of_which_no_record_is_left_is_reached_all_the_same(behind: Message) -> None:
    reading = Reading({0: Span(5, 5, 9)}, [record(0, 5), behind], max_records=1)
    assert reading.take() == ([(0, 5)], {0: 6})
    assert reading.take() == ([], {0: 9}), "the batch without records carries the offset that says it is done"
    assert reading.consumer.assigned == {}


def test_the_end_of_a_partition_before_the_end_of_the_range_is_waited_out() -> None:
    reading = Reading({0: Span(5, 5, 9)}, [end_of_partition(0, 7), record(0, 8)], max_records=1)
    assert reading.take() is None, "an open transaction holds the rest back"
    assert reading.take() == ([(0, 8)], {0: 9})


def test_a_range_is_finished_only_when_its_work_is_out_and_committed() -> None:
    reading = Reading({0: Span(5, 5, 6)}, [record(0, 5)])
    batch = reading.source.take(0.01)
    assert batch is not None
    reading.assignment.took(batch.next_offsets)
    assert reading.take() is None
    assert not reading.progress.finished, "its batch is in flight"
    reading.assignment.finished(batch.next_offsets)
    reading.offsets.served = 0
    assert reading.take() is None
    assert not reading.progress.finished, "its offset is not committed"
    assert reading.take() is None
    assert reading.progress.finished


def test_an_error_that_does_not_pass_ends_the_reading() -> None:
    refused = Message(topic="comments", error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(SourceError, match="does not let this member read on"):
        Reading({0: Span(5, 5, 9)}, [refused]).take()


def test_closing_commits_first_and_then_lets_go() -> None:
    reading = Reading({0: Span(5, 5, 9)}, [])
    reading.source.close()
    assert reading.offsets.served == 3
    assert reading.consumer.closed


class AnsweringConsumer(ScriptedConsumer):
    """Answers for one partition: its end, the offsets of two times (-1: no record since), the group's offset."""

    def __init__(self, end: int, begin: int, behind: int, committed: int) -> None:
        super().__init__()
        self.end, self.times, self.offset = end, [begin, behind], committed

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        partitions = {0: None}
        metadata = type("Topic", (), {"error": None, "partitions": partitions})
        return type("Cluster", (), {"topics": {topic: metadata}})

    def get_watermark_offsets(self, _place: TopicPartition, _timeout: float) -> tuple[int, int]:
        return 0, self.end

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return [TopicPartition(place.topic, place.partition, self.times.pop(0)) for place in places]

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return [TopicPartition(place.topic, place.partition, self.offset) for place in places]


@pytest.mark.parametrize(
    ("end", "begin", "behind", "committed", "expected"),
    [
        (100, 20, 60, -1001, Span(20, 20, 60)),
        (100, 20, -1, -1001, Span(20, 20, 100)),
        (100, -1, -1, -1001, Span(100, 100, 100)),
        (100, 20, 60, 35, Span(20, 35, 60)),
        (100, 20, 60, 60, Span(20, 60, 60)),
        (100, 70, 90, 60, Span(60, 60, 90)),  # retention took what was still to be done
        (100, 80, 80, 60, Span(80, 80, 80)),  # retention took the whole range
        (100, 101, -1, -1001, Span(100, 100, 100)),  # a record came while the brokers were asked
    ],
)
def test_a_span_is_what_lies_between_the_first_records_since_two_times_less_what_is_done(
    end: int, begin: int, behind: int, committed: int, expected: Span
) -> None:
    consumer = AnsweringConsumer(end, begin, behind, committed)
    assert find_spans(cast(Consumer, consumer), "comments", RANGE) == {0: expected}
