"""The only place where parts are put together."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

import structlog

from consumer.cache import key_function
from consumer.caching import open_cache
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.delivery import open_delivery
from consumer.heap import resting_collector, share_arenas
from consumer.kafka.assignment import Assignment
from consumer.kafka.clients import Member, consumer_config, make_member
from consumer.kafka.corrections import open_corrections
from consumer.kafka.lag import LagWatch
from consumer.kafka.source import Offsets, Source
from consumer.kafka.topics import require_topics
from consumer.loading import LoadedModel, full_names, load_model, make_judge
from consumer.outputs import Outputs
from consumer.parts import Alarm
from consumer.parts import Source as PipelineSource
from consumer.pipeline import Pipeline
from consumer.policy import Policy
from consumer.services import Services, open_services, share_model
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.signals import resume_on_signal
from consumer.telemetry.logs import bind_process
from schemas import DeadLetterReason

log = structlog.get_logger()

DEFAULT_SERVE_PORT = 8000
WAIT_S = 0.1


class ClosableSource(PipelineSource, Protocol):
    """A source that lets go of its partitions."""

    def close(self) -> None:
        """Leave the group, or the topic."""
        ...


OpenSource = Callable[[Assignment, Offsets], ClosableSource]


def run(settings: Settings, stopping: Callable[[], bool]) -> None:
    """Be a member of the group until `stopping()` is true, then drain, commit and leave; with HTTP_PORT, answer HTTP
    callers beside it.

    Raises `SettingsError`, `ModelError` or `KafkaUnavailableError` before it joins, `PipelineError` or `SourceError`
    after.
    """
    if not settings.kafka_bootstrap_servers:
        raise SettingsError(
            "KAFKA_BOOTSTRAP_SERVERS is empty; set it to your brokers, for example localhost:9092. To "
            "try without Kafka: `moderate demo`, or `moderate serve` for HTTP alone."
        )
    share_arenas()
    alarm = DeadLetterAlarm(settings.dead_letter_alarm_share, settings.dead_letter_pause)
    resume_on_signal(alarm.resume)  # first of all: by default that signal ends a process
    with ExitStack() as stack:
        services = open_services(settings, stopping, stack, has_server=bool(settings.http_port))
        if services.has_server:
            _open_server(settings, services, stack)
        require_topics(settings)
        engine, policy = _load(settings, services)
        run_with(settings, engine, policy, stopping, alarm, services)


def serve(settings: Settings, stopping: Callable[[], bool]) -> None:
    """Answer HTTP callers until `stopping()` is true; needs no Kafka.

    Raises `SettingsError` or `ModelError` at start, `ModelGoneError` when the model breaks later.
    """
    share_arenas()
    settings = settings.model_copy(update={"http_port": settings.http_port or DEFAULT_SERVE_PORT})
    with ExitStack() as stack:
        services = open_services(settings, stopping, stack, has_server=True)
        _open_server(settings, services, stack)
        engine, policy = _load(settings, services)
        serve_with(settings, engine, policy, stopping, services)


def serve_with(
    settings: Settings, engine: LoadedModel, policy: Policy, stopping: Callable[[], bool], services: Services
) -> None:
    """`serve` with a model that is loaded already, and a server that runs."""
    with ExitStack() as stack:
        cache = open_cache(settings, engine, services)
        stack.callback(cache.close)
        cache_key = key_function(engine.fingerprint, settings.cache_secret.get_secret_value())
        share_model(settings, services, engine, cache, cache_key, make_judge(engine, policy), stack)
        _say_what_runs(services, engine, policy)
        services.health.begin()
        log.info("serving", port=settings.http_port)
        if settings.tracing:
            log.warning("tracing_unused", meaning="spans are of the stream's batches, and there is no stream here")
        while not stopping() and not services.failed:
            time.sleep(WAIT_S)
        services.require_server()
    services.require_model()
    log.info("stopped")


def run_with(
    settings: Settings,
    engine: LoadedModel,
    policy: Policy,
    stopping: Callable[[], bool],
    alarm: DeadLetterAlarm | None = None,
    services: Services | None = None,
) -> None:
    """`run` with a model that is loaded already; with an `alarm` of the caller's, who can resume after a pause, and
    with `services` where a server shows them."""
    member = settings.kafka_group_instance_id or f"{socket.gethostname()}-{os.getpid()}"
    bind_process(group=settings.kafka_group_id, member=member)
    alarm = alarm or DeadLetterAlarm(settings.dead_letter_alarm_share, settings.dead_letter_pause)
    consumer = make_member(consumer_config(settings))

    def subscribe(assignment: Assignment, offsets: Offsets) -> Source:
        return Source(
            consumer,
            settings.input_topic,
            assignment,
            offsets,
            max_records=settings.max_batch_records,
            revoke_timeout_s=settings.revoke_timeout_s,
        )

    with ExitStack() as stack:
        if services is not None:
            services.metrics.watch_alarm(alarm)
            services.health.require("dead letters", lambda: "too many: paused until SIGUSR1" if alarm.paused else "")
            services.health.warn("dead letters", lambda: "an unusual share" if alarm.degraded else "")
        else:
            services = open_services(settings, stopping, stack)
        run_pipeline(settings, engine, policy, stopping, consumer, subscribe, alarm, services)


def run_pipeline(
    settings: Settings,
    engine: LoadedModel,
    policy: Policy,
    stopping: Callable[[], bool],
    consumer: Member,
    open_source: OpenSource,
    alarm: Alarm,
    services: Services,
) -> None:
    """Put the parts together around `consumer`, which `open_source` reads from, and run until `stopping()`."""
    judge = make_judge(engine, policy)
    outputs = Outputs(
        results_topic=settings.results_topic,
        dead_letter_topic=settings.dead_letter_topic,
        include_text=settings.results_include_text,
        judge=judge,
    )

    def on_replaced(reason: DeadLetterReason) -> None:
        alarm.count([reason])
        services.metrics.replaced(reason)

    with ExitStack() as stack:
        if services.has_server:
            services.publish_feedback = open_corrections(settings, stack)
        cache = open_cache(settings, engine, services)
        stack.callback(cache.close)
        cache_key = key_function(engine.fingerprint, settings.cache_secret.get_secret_value())
        # Closed after the source, so that leaving the group does not wait for HTTP callers.
        batcher = share_model(settings, services, engine, cache, cache_key, judge, stack)
        assignment = Assignment()
        services.health.require("group", lambda: "" if assignment.joined else "this member has not joined it yet")
        services.metrics.watch_assignment(assignment)
        offsets, checkpoint = open_delivery(
            settings,
            consumer,
            assignment,
            outputs,
            stopping,
            stack,
            on_replaced=on_replaced,
            on_checkpoint=services.metrics.checkpointed,
        )
        source = open_source(assignment, offsets)
        stack.callback(source.close)
        if services.has_server:
            services.metrics.watch_lag(stack.enter_context(LagWatch(settings, assignment)))
        pipeline = Pipeline(
            source=source,
            in_flight=assignment,
            engine=batcher,
            cache=cache,
            outputs=outputs,
            cache_key=cache_key,
            checkpoint=checkpoint,
            alarm=alarm,
            observers=services.observers,
            model_moved_at_s=lambda: services.model_moved_at_s,
            shutdown_timeout_s=settings.shutdown_timeout_s,
        )
        services.health.watch(pipeline.vitals)
        _say_what_runs(services, engine, policy)
        services.health.begin()
        log.info("consuming", topic=settings.input_topic, delivery=settings.delivery)
        with resting_collector():
            pipeline.run(lambda: stopping() or services.failed)
        services.require_server()
    services.require_model()
    log.info("stopped")


def _load(settings: Settings, services: Services) -> tuple[LoadedModel, Policy]:
    """Raises `ModelError`, or `SettingsError` for a setting that names a label which the model lacks."""
    engine, policy = load_model(settings, services.model_pass)
    if services.has_server:
        from consumer.http.perspective import attributes_of

        attributes_of(settings, full_names(engine.tag_groups.label_names()))
    return engine, policy


def _open_server(settings: Settings, services: Services, stack: ExitStack) -> None:
    """Without FastAPI and uvicorn a member without HTTP has 9 MB less in memory."""
    from consumer.http.server import open_server

    open_server(settings, services, stack)


def _say_what_runs(services: Services, engine: LoadedModel, policy: Policy) -> None:
    services.metrics.set_build(model=engine.name, model_version=engine.version, policy_version=policy.version)
    services.metrics.expect_tags(engine.tag_groups.label_names())
