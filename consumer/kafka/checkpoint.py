"""At-least-once: the moment a batch's outputs are acknowledged; only then may its offsets be committed."""

import time
from collections.abc import Callable, Mapping, Sequence

from consumer.batch import Lease, Outgoing, Record
from consumer.kafka.assignment import Assignment
from consumer.kafka.publisher import Publisher, PublishError

SERVE_EVERY_S = 0.1


class AtLeastOnceCheckpoint:
    """Publishes a batch's messages, waits for every acknowledgement, then gives its offsets free for committing.

    The source's thread commits them a moment later, because a consumer belongs to one thread at a time. After a crash
    in between, the batch is read again and its events come out a second time with the same event ids. Used by one
    thread.
    """

    def __init__(
        self,
        publisher: Publisher,
        assignment: Assignment,
        *,
        too_large: Callable[[Record], Outgoing],
        on_checkpoint: Callable[[float], None],
    ) -> None:
        """`on_checkpoint` is told how long each took, in seconds."""
        self._on_checkpoint = on_checkpoint
        self._publisher = publisher
        self._assignment = assignment
        self._too_large = too_large

    def complete(self, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        """Publish `messages` and acknowledge `next_offsets`; blocks until every message is in Kafka.

        A result too large for its topic is replaced by a dead letter.
        Raises `PublishError` when the batch must be read again by a new process.
        """
        began_s = time.monotonic()
        refused = self._publisher.publish(messages)
        replaced = [self._too_large(result.record) for result in refused if not result.is_dead_letter]
        stuck = [letter for letter in refused if letter.is_dead_letter] + self._publisher.publish(replaced)
        if stuck:
            raise PublishError(does_not_fit(stuck[0]))
        self._assignment.acknowledge(next_offsets)
        self._assignment.finished(next_offsets)
        self._on_checkpoint(time.monotonic() - began_s)

    def serve(self) -> float:
        """Called between batches; returns after how many seconds at most it wants to be called again."""
        self._publisher.poll()
        return SERVE_EVERY_S

    def finish(self) -> None:
        """No more batches will come; every one of them is acknowledged already."""


def does_not_fit(letter: Outgoing) -> str:
    """For the reader: a dead letter that its topic does not take, and what to do."""
    record = letter.record
    return (
        f"The dead letter of {record.topic}-{record.partition} offset {record.offset} is too large for topic "
        f"{letter.topic}; raise that topic's max.message.bytes above {len(record.value or b'') + 4096} and start again."
    )
