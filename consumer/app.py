"""The only place where parts are put together."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

import structlog

from consumer.backoff import Backoff
from consumer.batch import Outgoing, Record, Refusal
from consumer.cache import AnswerCache, AnswerCodec, RedisStore, SharedCache, key_function
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.kafka.assignment import Assignment
from consumer.kafka.checkpoint import AtLeastOnceCheckpoint
from consumer.kafka.clients import (
    Member,
    consumer_config,
    make_member,
    make_producer,
    producer_config,
    transactional_config,
)
from consumer.kafka.exactly_once import ExactlyOnceCheckpoint
from consumer.kafka.offsets import GroupMetadata, OffsetCommitter
from consumer.kafka.publisher import Publisher
from consumer.kafka.source import Offsets, Source
from consumer.kafka.topics import require_topics
from consumer.kafka.transactions import FIRST_RETRY_S, LONGEST_RETRY_S, Transactions
from consumer.model.calibration import Calibration
from consumer.model.engine import Engine
from consumer.model.labels import TagGroups
from consumer.model.load import load_engine
from consumer.outputs import Outputs
from consumer.parts import Alarm, Checkpoint
from consumer.parts import Engine as PipelineEngine
from consumer.parts import Source as PipelineSource
from consumer.pipeline import Pipeline
from consumer.policy import Policy, PolicyError, never_reviewed
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.signals import resume_on_signal
from consumer.telemetry.logs import bind_process
from schemas import DeadLetterReason, ModelInfo

log = structlog.get_logger()


class LoadedModel(PipelineEngine, Protocol):
    """A model that can be run, and what there is to know about it."""

    @property
    def name(self) -> str:
        """The model as it was configured."""
        ...

    @property
    def version(self) -> str:
        """Changes with anything that can change a tag."""
        ...

    @property
    def fingerprint(self) -> str:
        """The version and the number format: equal for members whose answers may stand in for each other."""
        ...

    @property
    def tag_groups(self) -> TagGroups:
        """What its scores mean."""
        ...


class ClosableSource(PipelineSource, Protocol):
    """A source that lets go of its partitions."""

    def close(self) -> None:
        """Leave the group, or the topic."""
        ...


OpenSource = Callable[[Assignment, Offsets], ClosableSource]

REVOKE_SHARE = 0.25
"""Share of KAFKA_MAX_POLL_INTERVAL_MS that a revoke may spend on finishing work; the rest of the group waits
meanwhile."""


def run(settings: Settings, stopping: Callable[[], bool]) -> None:
    """Be a member of the group until `stopping()` is true, then drain, commit and leave.

    Raises `SettingsError`, `ModelError` or `KafkaUnavailableError` before it joins, `PipelineError` or `SourceError`
    after.
    """
    if not settings.kafka_bootstrap_servers:
        raise SettingsError(
            "KAFKA_BOOTSTRAP_SERVERS is empty; set it to your brokers, for example localhost:9092. To "
            "try without Kafka: `moderate demo`."
        )
    alarm = DeadLetterAlarm(settings.dead_letter_alarm_share, settings.dead_letter_pause)
    resume_on_signal(alarm.resume)  # first of all: by default that signal ends a process
    require_topics(settings)
    engine, policy = load_model(settings)
    run_with(settings, engine, policy, stopping, alarm)


def load_model(settings: Settings) -> tuple[Engine, Policy]:
    """Load and warm the model, and fit the policy to its labels.

    Raises `ModelError` when the model cannot be used, `SettingsError` when the policy names labels that it lacks.
    """
    engine = load_engine(
        settings.model,
        device=settings.model_device,
        dtype=settings.model_dtype,
        max_batch_tokens=settings.max_batch_tokens,
        labels=settings.model_labels,
    )
    policy = make_policy(settings, engine.tag_groups.label_names(), engine.calibration)
    engine.warm_up()
    log.info(
        "model_ready", model=engine.name, version=engine.version, fingerprint=engine.fingerprint, policy=policy.version
    )
    return engine, policy


def run_with(
    settings: Settings,
    engine: LoadedModel,
    policy: Policy,
    stopping: Callable[[], bool],
    alarm: Alarm | None = None,
) -> None:
    """`run` with a model that is loaded already; with an `alarm` of the caller's, who can resume after a pause."""
    member = settings.kafka_group_instance_id or f"{socket.gethostname()}-{os.getpid()}"
    bind_process(group=settings.kafka_group_id, member=member)
    consumer = make_member(consumer_config(settings))

    def subscribe(assignment: Assignment, offsets: Offsets) -> Source:
        return Source(
            consumer,
            settings.input_topic,
            assignment,
            offsets,
            max_records=settings.max_batch_records,
            revoke_timeout_s=min(
                settings.kafka_max_poll_interval_ms / 1000 * REVOKE_SHARE, settings.shutdown_timeout_s
            ),
        )

    run_pipeline(settings, engine, policy, stopping, consumer, subscribe, alarm)


def run_pipeline(
    settings: Settings,
    engine: LoadedModel,
    policy: Policy,
    stopping: Callable[[], bool],
    consumer: Member,
    open_source: OpenSource,
    alarm: Alarm | None = None,
) -> None:
    """Put the parts together around `consumer`, which `open_source` reads from, and run until `stopping()`."""
    alarm = alarm or DeadLetterAlarm(settings.dead_letter_alarm_share, settings.dead_letter_pause)
    outputs = Outputs(
        results_topic=settings.results_topic,
        dead_letter_topic=settings.dead_letter_topic,
        include_text=settings.results_include_text,
        tags_of=engine.tag_groups.tags,
        model=ModelInfo(name=engine.name, version=engine.version),
        policy=policy,
    )
    with ExitStack() as stack:
        cache = _open_cache(settings, engine)
        stack.callback(cache.close)
        assignment = Assignment()
        offsets, checkpoint = _open_delivery(settings, consumer, assignment, outputs, alarm, stopping, stack)
        source = open_source(assignment, offsets)
        stack.callback(source.close)
        pipeline = Pipeline(
            source=source,
            in_flight=assignment,
            engine=engine,
            cache=cache,
            outputs=outputs,
            cache_key=key_function(engine.fingerprint, settings.cache_secret.get_secret_value()),
            checkpoint=checkpoint,
            alarm=alarm,
            shutdown_timeout_s=settings.shutdown_timeout_s,
        )
        log.info("consuming", topic=settings.input_topic, delivery=settings.delivery)
        pipeline.run(stopping)
    log.info("stopped")


def _open_delivery(
    settings: Settings,
    consumer: Member,
    assignment: Assignment,
    outputs: Outputs,
    alarm: Alarm,
    stopping: Callable[[], bool],
    stack: ExitStack,
) -> tuple[Offsets, Checkpoint]:
    """The two sides of a checkpoint: what the source's thread does for offsets, and what the publish stage does."""
    give_up_after_s = settings.kafka_delivery_timeout_ms / 1000

    def too_large(record: Record) -> Outgoing:
        detail = f"its tagged comment is too large for {settings.results_topic}; raise that topic's max.message.bytes"
        alarm.count([DeadLetterReason.RESULT_TOO_LARGE])
        return outputs.dead_letter(record, Refusal(DeadLetterReason.RESULT_TOO_LARGE, detail))

    if settings.delivery == "at-least-once":
        publisher = Publisher(make_producer(producer_config(settings)))
        stack.callback(publisher.close, timeout_s=1.0)
        committer = OffsetCommitter(consumer, assignment, timeout_s=give_up_after_s)
        return committer, AtLeastOnceCheckpoint(publisher, assignment, too_large=too_large)
    transactions = Transactions(
        make_producer(transactional_config(settings)),
        publish_timeout_s=settings.kafka_transaction_publish_timeout_ms / 1000,
        patience=Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, give_up_after_s),
    )
    transactions.initialise(stopping)
    stack.callback(transactions.close)
    group = GroupMetadata(consumer, transactions.check)
    return group, ExactlyOnceCheckpoint(
        transactions,
        assignment,
        group.latest,
        too_large=too_large,
        commit_interval_s=settings.kafka_transaction_commit_interval_ms / 1000,
        max_records=settings.kafka_transaction_max_records,
    )


def make_policy(
    settings: Settings, labels: Mapping[str, Sequence[str]], calibration: Calibration | None = None
) -> Policy:
    """The policy over the labels of the loaded model.

    A threshold that somebody set must name a label of the model (`SettingsError`). Where nothing is set, what the model
    was calibrated to stands before our defaults, and a default yields where the model has no such label.
    """
    known = {f"{group}.{label}" for group, names in labels.items() for label in names}

    def fitting(name: str, thresholds: dict[str, float], recommended: dict[str, float]) -> dict[str, float]:
        if name in settings.model_fields_set:
            return thresholds
        return {label: score for label, score in (thresholds | recommended).items() if label in known}

    recommended = calibration or Calibration()
    try:
        policy = Policy(
            review=fitting("policy_review", settings.policy_review, recommended.review),
            reject=fitting("policy_reject", settings.policy_reject, recommended.reject),
        )
        policy.check_against(labels)
        # The settings were checked by themselves; a calibrated threshold may stand beside one that somebody set.
        for problem in never_reviewed(policy.review, policy.reject):
            raise SettingsError(problem)
    except PolicyError as error:
        raise SettingsError(str(error)) from None
    return policy


def _open_cache(settings: Settings, engine: LoadedModel) -> AnswerCache:
    codec = AnswerCodec(score_count=engine.tag_groups.score_count, secret=settings.cache_secret.get_secret_value())
    shared = None
    if url := settings.redis_url.get_secret_value():
        shared = SharedCache(RedisStore(url, settings.cache_ttl_s), timeout_s=settings.cache_timeout_ms / 1000)
    return AnswerCache(settings.cache_memory_entries, codec, shared)
