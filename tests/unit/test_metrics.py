"""What Prometheus is shown: names, zeros from the start, and sums that agree."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterable
from typing import cast, get_args

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.registry import CollectorRegistry

from consumer.answer import Answer, ModelPass
from consumer.batch import Batch, Item, Lease, Refusal
from consumer.cache.shared import SharedState
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.kafka.assignment import Assignment
from consumer.policy import Policy
from consumer.telemetry import metric_defs as defs
from consumer.telemetry.batch_histogram import BatchHistogram
from consumer.telemetry.metrics import MOST_AGE_S, Metrics
from consumer.verdict import Judge
from schemas import AnsweredBy, DeadLetterReason, ModelInfo
from tests.fakes import TAG_GROUPS, record
from tests.services import missing

Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]

LEASE = Lease("comments", 0)
JUDGE = Judge(tags_of=TAG_GROUPS.tags, model=ModelInfo(name="words", version="1"), policy=Policy())


class Cache:
    state: str = "memory-only"


def shown(metrics: Metrics) -> Shown:
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return shown(metrics)[name, tuple(sorted(labels.items()))]


def total(found: Shown, name: str) -> float:
    return sum(number for (shown_name, _), number in found.items() if shown_name == name)


def tagged(answered_by: AnsweredBy = "model", toxic: float = 0.0, timestamp_ms: int | None = 0) -> Item:
    answer = Answer((0.2, 0.3, 0.5, toxic), truncated=False)
    item = Item(record(b"x")._replace(timestamp_ms=timestamp_ms), LEASE, answer=answer, answered_by=answered_by)
    item.verdict = JUDGE.verdict(answer)
    return item


def refused(reason: DeadLetterReason) -> Item:
    return Item(record(b"x"), LEASE, refusal=Refusal(reason, "so it is"))


def passed_through(metrics: Metrics, *items: Item) -> None:
    batch = Batch(list(items))
    metrics.taken(batch)
    metrics.out(batch, batch.items)


def everything() -> Metrics:
    """Metrics that every part has been told to."""
    metrics = Metrics()
    metrics.watch_queue(lambda: 3)
    metrics.watch_assignment(Assignment())
    metrics.watch_lag(lambda: {("comments", 5): 17})
    metrics.watch_cache(Cache())
    metrics.watch_alarm(DeadLetterAlarm(0.5, pause=False))
    metrics.expect_tags(TAG_GROUPS.label_names())
    metrics.set_build(model='a "model"\n', model_version="m-1", policy_version="p-1")
    metrics.model_pass(ModelPass(texts=3, tokens=50, padded_tokens=60, began_s=1.0, ended_s=1.02))
    metrics.http_request("/predict", 200, 0.01)
    return metrics


def test_every_metric_is_shown_with_the_kind_labels_and_meaning_of_its_definition() -> None:
    text = generate_latest(everything().registry).decode()
    ours = {family.name: family for family in parse(text) if family.name.startswith("moderation_")}
    assert len(ours) == len(defs.ALL)
    for definition in defs.ALL:
        family = ours[definition.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (definition.kind, definition.meaning)
        assert {name for sample in family.samples for name in sample.labels} - {"le"} == set(definition.labels)


def test_every_definition_stands_in_one_group() -> None:
    defined = [found for found in vars(defs).values() if isinstance(found, defs.MetricDef)]
    assert len(defs.ALL) == len(set(defs.ALL))
    assert set(defs.ALL) == set(defined)


def test_both_formats_are_what_their_parsers_expect() -> None:
    registry = everything().registry
    plain = {family.name for family in parse(generate_latest(registry).decode())}
    open_text = openmetrics.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    open_format = {family.name for family in parse_openmetrics(open_text)}  # type: ignore[no-untyped-call]
    assert plain == open_format
    assert not [name for name in plain if name.endswith("_created")]


def test_promtool_has_nothing_to_complain_about() -> None:
    if not shutil.which("promtool"):
        missing("promtool is not on the PATH (Debian: prometheus)")
    ours = "\n".join(
        line for line in generate_latest(everything().registry).decode().splitlines() if "moderation_" in line
    )
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=ours + "\n", capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr


def test_every_value_that_a_label_can_have_is_0_before_anything_happened() -> None:
    at_first = shown(Metrics())
    for definition in defs.ALL:
        for known in definition.values if definition.kind != "gauge" else ():
            name = definition.name + ("_count" if definition.kind == "histogram" else "")
            assert at_first[name, ((definition.labels[0], known),)] == 0
    assert set(defs.DEAD_LETTERS.values) == {reason.value for reason in DeadLetterReason}


def test_the_models_labels_are_0_before_any_comment_has_got_them() -> None:
    metrics = Metrics()
    metrics.expect_tags(TAG_GROUPS.label_names())
    tags = {labels: number for (name, labels), number in shown(metrics).items() if name == defs.TAGS.name}
    assert len(tags) == 5
    assert set(tags.values()) == {0}


def test_a_comment_is_counted_by_its_tags_decision_and_layer_and_a_dead_letter_by_its_reason() -> None:
    metrics = Metrics()
    passed_through(
        metrics,
        tagged("model", toxic=0.99),
        tagged("memory"),
        tagged("redis"),
        tagged("redis"),
        refused(DeadLetterReason.NOT_JSON),
    )
    assert value(metrics, "moderation_comments_read_total") == 5
    assert value(metrics, "moderation_tags_total", group="toxicity", label="toxic") == 1
    assert value(metrics, "moderation_tags_total", group="toxicity", label="clean") == 3
    assert value(metrics, "moderation_tags_total", group="sentiment", label="positive") == 4
    assert value(metrics, "moderation_decisions_total", action="reject") == 1
    assert value(metrics, "moderation_decisions_total", action="allow") == 3
    assert value(metrics, "moderation_answers_total", layer="redis") == 2
    assert value(metrics, "moderation_dead_letters_total", reason="not-json") == 1
    assert value(metrics, "moderation_batch_comments_bucket", le="8.0") == 1
    assert value(metrics, "moderation_batch_comments_bucket", le="4.0") == 0


def test_latency_is_counted_from_the_records_timestamp_where_it_has_one() -> None:
    metrics = Metrics()
    now_ms = time.time() * 1000
    passed_through(metrics, *(tagged(timestamp_ms=int(now_ms - age_ms)) for age_ms in (200_000, 2_000_000)))
    passed_through(metrics, tagged(timestamp_ms=None), tagged(timestamp_ms=int(now_ms + 3_600_000)))
    assert value(metrics, "moderation_end_to_end_seconds_count") == 3
    assert value(metrics, "moderation_end_to_end_seconds_bucket", le="0.005") == 1, "of a clock that is ahead"
    assert value(metrics, "moderation_end_to_end_seconds_bucket", le="60.0") == 1
    assert value(metrics, "moderation_end_to_end_seconds_bucket", le="300.0") == 2
    assert 2_200 <= value(metrics, "moderation_end_to_end_seconds_sum") < 2_300


@pytest.mark.parametrize("timestamp_ms", [0, -(2**63), 2**63 - 1])
def test_no_timestamp_can_drown_the_sum_of_the_latencies(timestamp_ms: int) -> None:
    metrics = Metrics()
    passed_through(metrics, tagged(timestamp_ms=timestamp_ms))
    assert 0 <= value(metrics, "moderation_end_to_end_seconds_sum") <= MOST_AGE_S


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1e6) | st.sampled_from(defs.SECONDS_TO_HOURS))))
def test_a_batch_histogram_shows_what_prometheus_own_would(batches: list[list[float]]) -> None:
    registry, other = CollectorRegistry(), CollectorRegistry()
    ours = BatchHistogram("some_seconds", "Seconds.", defs.SECONDS_TO_HOURS)
    registry.register(ours)
    theirs = prometheus_client.Histogram("some_seconds", "Seconds.", buckets=defs.SECONDS_TO_HOURS, registry=other)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    for batch in batches:
        ours.observe_all(batch)
        for seconds in batch:
            theirs.observe(seconds)
    (family,), (expected,) = ours.collect(), theirs.collect()
    assert family.type == expected.type
    assert [sample[:2] for sample in family.samples] == [sample[:2] for sample in expected.samples]
    for sample, same in zip(family.samples, expected.samples, strict=True):
        assert math.isclose(sample.value, same.value, rel_tol=1e-9), sample.name


LAYERS = cast("tuple[AnsweredBy, ...]", get_args(AnsweredBy))
ITEMS = st.builds(tagged, st.sampled_from(LAYERS), st.floats(0, 1)) | st.builds(
    refused, st.sampled_from(list(DeadLetterReason))
)
OUTCOMES = st.lists(st.lists(st.tuples(ITEMS, st.sampled_from(("held", "left", "too large"))), max_size=20), max_size=8)


@settings(deadline=None, max_examples=50)
@given(OUTCOMES)
def test_whatever_comes_nothing_stays_in_flight_and_the_sums_agree(batches: list[list[tuple[Item, str]]]) -> None:
    metrics = Metrics()
    replaced = 0
    taken = [Batch([item for item, _ in outcomes]) for outcomes in batches]
    for batch in taken:
        metrics.taken(batch)
    assert value(metrics, "moderation_in_flight_comments") == sum(len(batch.items) for batch in taken)
    for batch, outcomes in zip(taken, batches, strict=True):
        for item, outcome in outcomes:
            if outcome == "too large" and item.verdict:
                replaced += 1
                metrics.replaced(DeadLetterReason.RESULT_TOO_LARGE)
        metrics.out(batch, [item for item, outcome in outcomes if outcome != "left"])
    found = shown(metrics)
    read, left = (total(found, definition.name) for definition in (defs.COMMENTS_READ, defs.LEFT_TO_OTHERS))
    decisions, dead_letters = (total(found, definition.name) for definition in (defs.DECISIONS, defs.DEAD_LETTERS))
    assert total(found, defs.IN_FLIGHT.name) == 0
    assert read == total(found, "moderation_batch_comments_sum") == sum(len(batch.items) for batch in taken)
    assert read + replaced == decisions + dead_letters + left
    assert decisions == total(found, defs.ANSWERS.name)
    assert 2 * decisions == total(found, defs.TAGS.name), "one tag for each of two groups"


@pytest.mark.parametrize(
    ("state", "reads", "writes"),
    [("memory-only", 0, 0), ("closed", 0, 0), ("writes-open", 0, 1), ("open", 1, 1)],
)
def test_an_open_circuit_is_shown(state: str, reads: float, writes: float) -> None:
    metrics, cache = Metrics(), Cache()
    metrics.watch_cache(cache)
    cache.state = state
    assert value(metrics, "moderation_cache_circuit_open", circuit="reads") == reads
    assert value(metrics, "moderation_cache_circuit_open", circuit="writes") == writes


def test_there_is_no_other_state_of_the_cache() -> None:
    assert set(get_args(SharedState)) | {"memory-only"} == {"memory-only", "closed", "writes-open", "open"}


def test_what_changes_by_itself_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    lags: dict[tuple[str, int], int] = {("comments", 3): 7, ("comments", 12): 0}
    metrics.watch_lag(lambda: lags)
    assert value(metrics, "moderation_consumer_lag_records", topic="comments", partition="3") == 7
    assert value(metrics, "moderation_consumer_lag_records", topic="comments", partition="12") == 0
    del lags["comments", 3]
    assert total(shown(metrics), "moderation_consumer_lag_records") == 0


def test_padding_is_counted_beside_the_tokens_that_it_is_a_share_of() -> None:
    metrics = Metrics()
    for done in (ModelPass(texts=3, tokens=50, padded_tokens=60, began_s=1.0, ended_s=1.5), ModelPass(1, 4, 4, 2, 3)):
        metrics.model_pass(done)
    assert value(metrics, "moderation_model_padding_tokens_total") == 10
    assert value(metrics, "moderation_model_pass_tokens_sum") == 64
    assert value(metrics, "moderation_model_pass_texts_sum") == 4
    assert value(metrics, "moderation_model_pass_seconds_count") == 2
    assert value(metrics, "moderation_model_pass_seconds_sum") == 1.5


def test_passes_side_by_side_count_for_no_more_time_than_what_passed() -> None:
    metrics = Metrics()
    for began_s, ended_s in ((10.0, 12.0), (10.0, 12.5), (11.0, 14.0), (14.5, 15.0)):
        metrics.model_pass(ModelPass(1, 4, 4, began_s, ended_s))
    assert value(metrics, "moderation_model_pass_seconds_count") == 4
    assert value(metrics, "moderation_model_pass_seconds_sum") == 4.5, "from 10 to 15, less a rest of half a second"


def test_failures_of_routes_are_zero_until_they_come() -> None:
    metrics = Metrics()
    metrics.expect_failures(["/predict"])
    for status in ("429", "500", "503", "504"):
        assert value(metrics, "moderation_http_requests_total", route="/predict", status=status) == 0


def test_http_requests_are_counted_by_route_and_status_and_their_texts_by_layer() -> None:
    metrics = Metrics()
    metrics.http_request("/predict", 200, 0.01)
    metrics.http_request("/predict", 429, 0.001)
    layers: Iterable[str] = ("model", "memory", "model")
    metrics.http_texts(layers)
    assert value(metrics, "moderation_http_requests_total", route="/predict", status="429") == 1
    assert value(metrics, "moderation_http_request_seconds_count", route="/predict") == 2
    assert value(metrics, "moderation_http_texts_total", layer="model") == 2
    assert value(metrics, "moderation_http_texts_total", layer="redis") == 0
