"""How far the group is behind, in the partitions this member holds."""

import time
from collections.abc import Iterable, Mapping
from threading import Event, Thread

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from consumer.kafka.assignment import Assignment, PartitionKey
from consumer.kafka.client_log import librdkafka_log
from consumer.kafka.clients import reader_config
from consumer.kafka.passing import COMMITTING
from consumer.kafka.refusals import describe
from consumer.settings import Settings

log = structlog.get_logger()

ASK_EVERY_S = 10.0
LOOK_EVERY_S = 0.25
"""How often to see whether other partitions are held, and whether to end."""
ANSWER_TIMEOUT_S = 5.0
FORGET_AFTER_S = 60.0
"""A question without an answer should leave no gap in a graph; after this time the old number would be a lie."""
CLOSE_TIMEOUT_S = 1.0

PASSING = COMMITTING | {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
}
"""What a broker that goes or comes causes; where it matters, the stream says so itself."""


class LagWatch:
    """Asks the brokers every `ASK_EVERY_S`, and when other partitions are held, on a thread with a client of its own.

    However many partitions there are, it asks three questions at most: what the group has committed, where the
    partitions end and, for those of which nothing is committed yet, where they begin. The end is where a
    `read_committed` consumer has to stop, as this one is. Whoever may read in the group may ask all of it.

    The client is a consumer that joins no group, and no AdminClient: librdkafka 2.16 crashes the process when the
    brokers answer one's question for a group's offsets with NOT_COORDINATOR (confluentinc/librdkafka issue 5040), as
    they do whenever the group moves to another broker.
    """

    def __init__(self, settings: Settings, assignment: Assignment) -> None:
        self._settings = settings
        self._assignment = assignment
        self._closed = Event()
        self._seen: tuple[float, Mapping[PartitionKey, int]] = (0.0, {})
        self._trouble: int | None = None
        self._thread = Thread(target=self._run, name="lag", daemon=True)

    def __enter__(self) -> "LagWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Blocks for a second at most; a thread that waits for hanging brokers then ends by itself."""
        self._closed.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def __call__(self) -> Mapping[PartitionKey, int]:
        """The lag in records by (topic, partition), as last seen, of the partitions held now; those whose lag is not
        known are left out. From any thread; neither blocks nor raises.
        """
        seen_at_s, lags = self._seen
        if time.monotonic() - seen_at_s > FORGET_AFTER_S:
            return {}
        return {key: lags[key] for key in self._assignment.partitions() if key in lags}

    def _run(self) -> None:
        config = reader_config(self._settings, self._settings.kafka_group_id, "earliest")
        # Of failing connections the stream's own clients tell.
        client = Consumer(config | {"error_cb": lambda _: None}, logger=librdkafka_log)
        asked: list[PartitionKey] = []
        ask_at_s = 0.0
        while not self._closed.wait(LOOK_EVERY_S):
            client.poll(0)  # for librdkafka's log lines and tokens; there are no records
            held = self._assignment.partitions()
            if held != asked or time.monotonic() >= ask_at_s:
                asked, ask_at_s = held, time.monotonic() + ASK_EVERY_S
                self._ask(client, held)

    def _ask(self, client: Consumer, held: list[PartitionKey]) -> None:
        errors: list[KafkaError] = []
        try:
            lags = self._lags(client, held, errors)
        except KafkaException as exception:
            errors.append(exception.args[0])
        else:
            self._seen = (time.monotonic(), lags)
        self._say(next(iter(errors), None))

    def _lags(self, client: Consumer, held: list[PartitionKey], errors: list[KafkaError]) -> dict[PartitionKey, int]:
        """Asks for ends last: what is committed meanwhile makes the lag too large rather than negative.

        Errors of single partitions are added to `errors`, and those partitions left out. Raises KafkaException when
        nothing could be asked.
        """
        committed = self._committed(client, held, errors)
        starts = {key: offset for key, offset in committed.items() if offset >= 0}
        if self._settings.kafka_auto_offset_reset == "earliest":
            fresh = [key for key in committed if key not in starts]
            starts |= self._edges(client, fresh, OFFSET_BEGINNING, errors)
        ends = self._edges(client, starts, OFFSET_END, errors)
        return {key: max(0, end - starts[key]) for key, end in ends.items()}

    def _committed(
        self, client: Consumer, keys: Iterable[PartitionKey], errors: list[KafkaError]
    ) -> dict[PartitionKey, int]:
        """The group's offsets; below 0 where it has committed none."""
        question = [TopicPartition(*key) for key in keys]
        return _sorted_out(client.committed(question, ANSWER_TIMEOUT_S), errors) if question else {}

    def _edges(
        self, client: Consumer, keys: Iterable[PartitionKey], edge: int, errors: list[KafkaError]
    ) -> dict[PartitionKey, int]:
        """Where partitions begin or end. The protocol has these two among the times that offsets are asked for."""
        question = [TopicPartition(*key, edge) for key in keys]
        return _sorted_out(client.offsets_for_times(question, ANSWER_TIMEOUT_S), errors) if question else {}

    def _say(self, error: KafkaError | None) -> None:
        """Log what has changed since the last question."""
        before, self._trouble = self._trouble, error.code() if error else None
        if self._trouble == before:
            return
        if error is None:
            (log.debug if before in PASSING else log.info)("lag_known")
        elif self._trouble in PASSING:
            log.debug("lag_unknown", error=describe(error))
        else:
            log.warning(
                "lag_unknown",
                error=describe(error),
                meaning="comments are processed all the same; moderation_consumer_lag_records is not shown",
                remedy="where it is about authorization, let this user describe the input topic and the group",
            )


def _sorted_out(answers: Iterable[TopicPartition], errors: list[KafkaError]) -> dict[PartitionKey, int]:
    """The offset of each partition; the errors of the others are added to `errors`."""
    offsets = {}
    for answer in answers:
        if answer.error is not None:
            errors.append(answer.error)
        else:
            offsets[answer.topic, answer.partition] = answer.offset
    return offsets
