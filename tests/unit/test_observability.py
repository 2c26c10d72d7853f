"""The dashboard, the alert rules, the runbook and docker-compose.yml agree, and the rules do what they say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.settings import Settings
from consumer.telemetry.metric_defs import END_TO_END
from tests.promql import (
    ALERTS,
    DASHBOARD,
    DEPLOY,
    PANELS,
    RULES_FILE,
    Expression,
    dashboard_expressions,
    demands,
    rule_expressions,
)
from tests.services import missing

OPERATIONS = (DEPLOY / "OPERATIONS.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
RULE_TESTS = ("rules_test.yml", "rules_days_test.yml")
GRAFANA_OWN_PANELS = {"row", "stat", "timeseries", "table"}
GRID_COLUMNS = 24
NO_SETTINGS = {"OBJECTIVE_S", "SECONDS_TO_HOURS"}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        missing("promtool is not on the PATH (Debian: apt install prometheus)")
    return found


def succeeds(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DEPLOY / "prometheus", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_and_the_configuration_are_what_prometheus_takes(promtool: str) -> None:
    succeeds(promtool, "check", "config", "prometheus.yml")
    succeeds(promtool, "check", "rules", RULES_FILE.name)


@pytest.mark.parametrize("name", RULE_TESTS)
def test_every_alert_fires_when_it_should_and_only_then(promtool: str, name: str) -> None:
    succeeds(promtool, "test", "rules", name)


def test_the_rule_tests_see_every_alert_fire_and_none_of_them_is_left_out() -> None:
    tests = [
        test
        for name in RULE_TESTS
        for test in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["tests"]
        for test in test["promql_expr_test"]
    ]
    fired = {
        name
        for test in tests
        for sample in test["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == ALERTS.keys()
    assert [test for test in tests if not test["exp_samples"]]


def test_every_expression_is_promql_and_shows_no_label_that_it_sums_over() -> None:
    for expression in [*dashboard_expressions(), *rule_expressions()]:
        assert demands(expression) or expression.promql.startswith("vector"), expression


@pytest.mark.parametrize(
    "wrong", ["sum by (", "sum(rate(a_total[1m])) by (instance", "rate(a_total)", "sum(rate(a_total[1m]))"]
)
def test_an_expression_that_is_wrong_is_noticed(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"unclosed|expected type|summed over"):
        demands(Expression("here", wrong, frozenset({"instance"})))


def test_the_dashboard_is_what_its_generator_writes() -> None:
    made = subprocess.run(
        [sys.executable, DEPLOY / "grafana/make_dashboard.py"], capture_output=True, text=True, check=True, timeout=60
    )
    assert made.stdout == (DEPLOY / "grafana/dashboards/moderation.json").read_text(), (
        "python deploy/grafana/make_dashboard.py >deploy/grafana/dashboards/moderation.json"
    )


def test_the_dashboard_needs_no_plugin_and_asks_the_chosen_datasource() -> None:
    assert {panel["type"] for panel in DASHBOARD["panels"]} == GRAFANA_OWN_PANELS
    asked = [panel["datasource"] for panel in PANELS] + [
        target["datasource"] for panel in PANELS for target in panel["targets"]
    ]
    asked += [thing["datasource"] for thing in DASHBOARD["annotations"]["list"]]
    asked += [variable["datasource"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    assert all(datasource == {"type": "prometheus", "uid": "${datasource}"} for datasource in asked)


def test_panels_have_ids_of_their_own_explain_themselves_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["description"].endswith(".") for panel in PANELS)
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']!r} lies on {taken[x, y]!r}"
                taken[x, y] = panel["title"]


def test_every_alert_has_a_runbook_paragraph_and_every_paragraph_an_alert() -> None:
    paragraphs = dict(re.findall(r"^### (Moderation\w+)\n\n(.+?)\n(?:\n|\Z)", OPERATIONS, flags=re.M | re.S))
    assert paragraphs.keys() == ALERTS.keys()
    assert all(len(paragraph.split()) >= 20 for paragraph in paragraphs.values())


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_a_woken_person_what_is_wrong_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"deploy/OPERATIONS.md#{name.lower()}"
    assert alert["annotations"]["summary"].endswith(".")


def test_every_setting_that_a_person_is_told_to_change_exists() -> None:
    names = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", OPERATIONS + RULES_FILE.read_text() + str(PANELS)))
    assert names - NO_SETTINGS <= {name.upper() for name in Settings.model_fields}


def test_the_latency_objective_is_a_bound_of_the_histogram_and_the_dashboards_red_line() -> None:
    bounds = {float(bound) for bound in re.findall(r'le="([^"]+)"', RULES_FILE.read_text())}
    assert len(bounds) == 1
    assert bounds <= set(END_TO_END.buckets)
    [panel] = [panel for panel in PANELS if panel["title"] == "End to end"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] in bounds


def test_grafana_finds_the_datasource_and_the_dashboards_where_compose_mounts_them() -> None:
    mounts = mounted("grafana")
    assert mounts["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    assert mounts["/var/lib/grafana/dashboards"] == "./deploy/grafana/dashboards"
    [provider] = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/moderation.yml").read_text())["providers"]
    assert provider["options"]["path"] in mounts
    [source] = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert host in COMPOSE["services"]
    assert port == "9090"


def test_prometheus_in_compose_has_its_configuration_and_asks_every_member_of_the_consumer_service() -> None:
    assert "./deploy/prometheus" in "".join(mounted("prometheus").values())
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == [RULES_FILE.name]
    [job] = config["scrape_configs"]
    assert f'up{{job="{job["job_name"]}"}}' in ALERTS["ModerationNoMembers"]["expr"]
    [discovery] = job["dns_sd_configs"]
    assert set(discovery["names"]) <= COMPOSE["services"].keys()
    assert discovery["port"] == 8000
    [source] = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def mounted(service: str) -> dict[str, str]:
    """What a compose service has mounted from this repository, read-only: by the place in the container."""
    parts = [volume.split(":") for volume in COMPOSE["services"][service]["volumes"] if volume.startswith("./")]
    assert all(mode == "ro" for _, _, mode in parts)
    return {Path(target).as_posix(): source for source, target, mode in parts}
