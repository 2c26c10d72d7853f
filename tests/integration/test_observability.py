"""What the dashboard and the alert rules name is what a running member shows, and a real Prometheus works with it."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from consumer.kafka.embedded import embedded_broker
from tests.http_member import running_member
from tests.http_serving import free_port, wait_until
from tests.integration.conftest import embedded_settings
from tests.prometheus_server import PrometheusServer, prometheus_asking
from tests.promql import (
    DEPLOY,
    PROMETHEUS_OWN,
    RULES,
    SCRAPED,
    Demand,
    Expression,
    dashboard_expressions,
    demands,
    recorded_labels,
    rule_expressions,
)
from tests.stream import comment, produce

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
EXPRESSIONS = [*dashboard_expressions(), *rule_expressions()]


class Sample(NamedTuple):
    """One line of /metrics."""

    name: str
    labels: dict[str, str]
    value: float


@pytest.fixture(scope="module")
def member_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A member that has seen a little of everything: two comments, a repeat, two broken records, two HTTP callers."""
    with embedded_broker([]) as bootstrap:
        settings = embedded_settings(bootstrap, tmp_path_factory.mktemp("observed"), http_port=free_port())
        with running_member(settings) as port:
            produce(settings, [comment("1", "awful"), comment("2", "lovely"), comment("3", "lovely"), b"{", None])
            ask(port, "/predict", {"texts": ["lovely", "new"]})
            ask(
                port,
                "/v1alpha1/comments:analyze",
                {"comment": {"text": "awful"}, "requestedAttributes": {"TOXICITY": {}}},
            )
            wait_until(lambda: value(port, "moderation_comments_read_total") == 5)
            wait_until(lambda: value(port, "moderation_consumer_lag_records") is not None)
            yield port


@pytest.fixture(scope="module")
def prometheus(member_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with prometheus_asking(member_port, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def ask(port: int, path: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=TIMEOUT_S).close()  # noqa: S310


def shown(port: int) -> list[Sample]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return [Sample(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def value(port: int, metric: str) -> float | None:
    return next((sample.value for sample in shown(port) if sample.name == metric), None)


def lack(demand: Demand, samples: list[Sample]) -> str:
    """What `demand` asks for and nobody shows; empty when all of it is there."""
    labels = [set(sample.labels) for sample in samples if sample.name == demand.metric]
    if labels:
        has = set.intersection(*labels) | SCRAPED
    elif demand.metric in PROMETHEUS_OWN:
        has = set(PROMETHEUS_OWN[demand.metric])
    elif demand.metric in RECORDED:
        has = set(recorded_labels(demand.metric))
    else:
        return f"no metric {demand.metric}"
    return f"{demand.metric} has no label {sorted(demand.labels - has)}" if demand.labels - has else ""


def test_every_metric_and_label_of_the_dashboard_and_the_rules_is_shown_by_a_running_member(member_port: int) -> None:
    samples = shown(member_port)
    lacks = [(e.where, lack(demand, samples)) for e in EXPRESSIONS for demand in demands(e)]
    assert [(where, what) for where, what in lacks if what] == []


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("moderation_comments_total", "no metric moderation_comments_total"),
        ("rate(moderation_end_to_end_seconds[5m])", "no metric moderation_end_to_end_seconds"),
        ('moderation_decisions_total{verdict="allow"}', "moderation_decisions_total has no label ['verdict']"),
        ("sum by (stage) (moderation_batch_comments_sum)", "moderation_batch_comments_sum has no label ['stage']"),
        ("histogram_quantile(0.9, moderation_stage_seconds_sum)", "moderation_stage_seconds_sum has no label ['le']"),
        ("up and on (pod) moderation_paused", "up has no label ['pod']"),
        ("job:moderation_end_to_end:rate1m", "no metric job:moderation_end_to_end:rate1m"),
    ],
)
def test_a_metric_or_a_label_that_nobody_shows_is_noticed(member_port: int, wrong: str, what: str) -> None:
    samples = shown(member_port)
    assert what in [lack(demand, samples) for demand in demands(Expression("here", wrong, frozenset()))]


def test_the_values_of_labels_that_are_asked_for_exist(member_port: int) -> None:
    samples = shown(member_port)
    asked = {
        (metric, label, operator, wanted)
        for e in EXPRESSIONS
        for metric, matchers in re.findall(r"(moderation_\w+){([^}]+)}", e.promql)
        for label, operator, wanted in re.findall(r'(\w+)(=~?|!=)"([^"]+)"', matchers)
        if label not in SCRAPED | {"status"}  # a stream that is well has no 429 and no 5xx
    }
    assert len(asked) > 3
    for metric, label, operator, wanted in asked:
        values = {sample.labels[label] for sample in samples if sample.name == metric}
        alternatives = wanted.split("|") if operator == "=~" else [wanted]
        assert set(alternatives) <= values, f"{metric} has no {label} {alternatives}, but {values}"


def test_prometheus_can_evaluate_every_rule_and_no_alert_fires_in_a_stream_that_is_well(
    prometheus: PrometheusServer,
) -> None:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(RULES)
    wait_until(lambda: all(rule["health"] == "ok" for g in prometheus.ask("rules")["groups"] for rule in g["rules"]))
    assert [rule["name"] for rule in rules if rule.get("state", "inactive") != "inactive"] == []
    assert {name for name in RECORDED if not prometheus.query(name)} == set()


def test_every_panel_has_something_to_show(prometheus: PrometheusServer) -> None:
    panels = [e for e in dashboard_expressions() if not e.where.startswith("annotation")]
    assert [(e.where, e.promql) for e in panels if not prometheus.query(e.promql)] == []


def test_the_dashboard_can_be_drawn_without_grafana(prometheus: PrometheusServer, tmp_path: Path) -> None:
    picture = tmp_path / "dashboard.png"
    command = [sys.executable, str(DEPLOY / "grafana/plot.py"), prometheus.url, str(picture), "--minutes", "1"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (drawn.returncode, drawn.stdout, drawn.stderr) == (0, "", "")
    with Image.open(picture) as image:
        assert image.width > 1_000
        assert len(image.getcolors() or []) > 10
