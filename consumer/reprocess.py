"""Tags a range of the input topic again, for another model or policy, beside the stream and without touching it."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from hashlib import sha256

from pydantic import TypeAdapter, ValidationError

from consumer.app import run_pipeline
from consumer.kafka.assignment import Assignment
from consumer.kafka.clients import Member, consumer_config, make_admin, make_member
from consumer.kafka.embedded import is_embedded
from consumer.kafka.range_source import RangeProgress, RangeSource, Span, TimeRange, find_spans
from consumer.kafka.source import Offsets
from consumer.kafka.topics import reach
from consumer.loading import LoadedModel
from consumer.policy import Policy
from consumer.services import open_services
from consumer.settings import Settings, TopicName
from consumer.settings_parsing import SettingsError
from schemas import DeadLetterReason

MEMBER = "reprocess"


class Outcomes:
    """What came out, by reason, None for a tagged comment. It takes the place of the stream's alarm and only counts: a
    range is done once, and the summary names its dead letters."""

    def __init__(self) -> None:
        self._counts: Counter[DeadLetterReason | None] = Counter()

    def count(self, reasons: Sequence[DeadLetterReason | None]) -> None:
        """Count the outcomes of a batch."""
        self._counts.update(reasons)

    def poll(self) -> bool:
        """Never holds a run back, however many dead letters there are."""
        return False

    @property
    def dead_letters(self) -> dict[DeadLetterReason, int]:
        """How many dead letters there are of each reason."""
        return {reason: count for reason, count in self._counts.items() if reason is not None}

    @property
    def tagged(self) -> int:
        """How many comments were tagged; a result that was too large was counted as tagged first."""
        return self._counts[None] - self._counts[DeadLetterReason.RESULT_TOO_LARGE]


def settings_of_run(settings: Settings, time_range: TimeRange, results_topic: str) -> Settings:
    """The settings under which a range is tagged: topics and a group of its own, whose name tells ranges apart.

    Raises `SettingsError` when the range or the topic cannot be used.
    """
    _check_range(time_range)
    dead_letter_topic = f"{results_topic}.dead-letter"
    _check_topics(settings, results_topic, dead_letter_topic)
    identity = f"{settings.input_topic} {time_range.from_ms} {time_range.to_ms} {results_topic}"
    run_id = sha256(identity.encode()).hexdigest()[:10]
    return settings.model_copy(
        update={
            "results_topic": results_topic,
            "dead_letter_topic": dead_letter_topic,
            "kafka_group_id": f"{settings.kafka_group_id}-reprocess-{run_id}",
            # With exactly-once this names the transactions, so a run ends at once what a killed one left open.
            "kafka_group_instance_id": MEMBER,
            "kafka_group_protocol": "classic",
            "kafka_auto_offset_reset": "earliest",
        }
    )


def look_at_range(run: Settings, time_range: TimeRange) -> dict[int, Span]:
    """The range in each partition, and how far earlier runs came.

    Raises `SettingsError` on the embedded broker, `KafkaUnavailableError` when the topic cannot be asked.
    """
    if is_embedded(reach(make_admin(run), run).cluster_id):
        raise SettingsError(
            "moderate reprocess needs a real Kafka: the embedded broker does not know the offsets of a time. Set "
            "KAFKA_BOOTSTRAP_SERVERS to one."
        )
    with closing(_make_consumer(run)) as consumer:
        return find_spans(consumer, run.input_topic, time_range)


def run_range(
    run: Settings,
    time_range: TimeRange,
    engine: LoadedModel,
    policy: Policy,
    *,
    progress: RangeProgress,
    outcomes: Outcomes,
    stopping: Callable[[], bool],
) -> None:
    """Tag what is left of the range, or until `stopping()`; keeps `progress` and `outcomes` up to date.

    Raises what a member of the stream raises, and commits behind its work like one: the same run goes on from there.
    """
    consumer = _make_consumer(run)

    def open_source(assignment: Assignment, offsets: Offsets) -> RangeSource:
        # Asked anew: with exactly-once, a killed run's offsets are final only now that its transactions are ended.
        spans = find_spans(consumer, run.input_topic, time_range)
        return RangeSource(
            consumer, run.input_topic, spans, assignment, offsets, progress, max_records=run.max_batch_records
        )

    with ExitStack() as stack:
        ending = lambda: stopping() or progress.finished  # noqa: E731
        services = open_services(run, ending, stack)
        run_pipeline(run, engine, policy, ending, consumer, open_source, outcomes, services)


def _make_consumer(run: Settings) -> Member:
    return make_member(consumer_config(run) | {"enable.partition.eof": True})


def _check_range(time_range: TimeRange) -> None:
    if time_range.from_ms >= time_range.to_ms:
        raise SettingsError(
            "--from must be before --to: the range holds what was written from --from on and before --to."
        )
    if time_range.to_ms > time.time() * 1000:
        raise SettingsError("--to lies in the future: what will be written until then is not in the topic yet.")


def _check_topics(settings: Settings, results_topic: str, dead_letter_topic: str) -> None:
    try:
        TypeAdapter(list[TopicName]).validate_python([results_topic, dead_letter_topic])
    except ValidationError:
        raise SettingsError(
            "--results-topic is no topic's name: letters, digits, dots, hyphens and underscores, with `.dead-letter` "
            "behind it at most 249."
        ) from None
    for name in ("input_topic", "results_topic", "dead_letter_topic", "feedback_topic"):
        if getattr(settings, name) in (results_topic, dead_letter_topic):
            raise SettingsError(
                f"{getattr(settings, name)} is {name.upper()} of the stream itself. Event ids repeat when comments are "
                "tagged again, so name a --results-topic of their own, such as "
                f"{settings.results_topic}.again; its dead letters go to the same name with `.dead-letter` behind it."
            )
