"""Every expression that the dashboard and the rules have, and what each asks of the metrics it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as promql
import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES_FILE = DEPLOY / "prometheus/rules.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/moderation.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

# What Prometheus puts on whatever it scrapes, and what it makes itself.
SCRAPED = frozenset({"job", "instance"})
PROMETHEUS_OWN = {
    "up": SCRAPED,
    "ALERTS": SCRAPED | {"alertname", "alertstate", "severity"},
}
LABELLESS = {"absent", "scalar", "vector", "time"}
"""Functions whose result has no labels of what they are given."""


class Expression(NamedTuple):
    """One expression, where it stands, and the labels that are shown of its result."""

    where: str
    promql: str
    labels: frozenset[str]


class Demand(NamedTuple):
    """A metric that an expression reads, and the labels it must have."""

    metric: str
    labels: frozenset[str]


def dashboard_expressions() -> Iterator[Expression]:
    """Those of the panels, the variables and the annotations, with Grafana's variables filled in."""
    for panel in PANELS:
        columns = panel.get("transformations", [{}])[0].get("options", {}).get("include", {}).get("names", [])
        for target in panel["targets"]:
            shown = frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"])) | frozenset(columns)
            yield Expression(f"panel {panel['title']!r}", filled_in(target["expr"]), shown)
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            [(metric, label)] = re.findall(r"^label_values\((.+), (\w+)\)$", variable["query"]["query"])
            yield Expression(f"variable {variable['name']}", filled_in(metric), frozenset({label}))
    for annotation in DASHBOARD["annotations"]["list"]:
        shown = frozenset(re.findall(r"{{(\w+)}}", annotation["titleFormat"] + annotation["textFormat"]))
        yield Expression(f"annotation {annotation['name']}", filled_in(annotation["expr"]), shown)


def rule_expressions() -> Iterator[Expression]:
    """Those of the recording and alerting rules."""
    for rule in RULES:
        if "alert" in rule:
            shown = frozenset(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
            yield Expression(rule["alert"], rule["expr"], shown)
        else:
            yield Expression(rule["record"], rule["expr"], recorded_labels(rule["record"]))


def recorded_labels(record: str) -> frozenset[str]:
    """By Prometheus' convention a recorded name begins with the labels that are left, as in `job_instance:…`."""
    level = record.split(":")[0]
    return frozenset() if level.startswith("moderation") else frozenset(level.split("_"))


def filled_in(expression: str, job: str = ".+", instance: str = ".+", rate_interval: str = "1m") -> str:
    """An expression as Grafana sends it."""
    values = {"$__rate_interval": rate_interval, "$job": job, "$instance": instance}
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, f"a variable that nobody fills in: {expression}"
    return expression


def demands(expression: Expression) -> list[Demand]:
    """What it asks of each metric it names. Raises ValueError when it is no PromQL, or shows a label that it has summed
    over."""
    return list(_demands(promql.parse(expression.promql), expression.labels))


def _demands(node: Any, wanted: frozenset[str]) -> Iterator[Demand]:
    match node:
        case promql.VectorSelector():
            yield Demand(node.name or "", wanted | {matcher.name for matcher in node.matchers.matchers})
        case promql.MatrixSelector():
            yield from _demands(node.vector_selector, wanted)
        case promql.AggregateExpr():
            by = frozenset(node.modifier.labels) if node.modifier else frozenset()
            if lost := wanted - by:
                raise ValueError(f"{sorted(lost)} are summed over in {node.prettify()}")
            yield from _demands(node.expr, by)
        case promql.BinaryExpr():
            yield from _demands_of_both(node, wanted)
        case promql.Call():
            wanted = frozenset() if node.func.name in LABELLESS else wanted
            wanted |= {"le"} if node.func.name == "histogram_quantile" else frozenset()
            for argument in node.args:
                yield from _demands(argument, wanted)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _demands(node.expr, wanted)
        case promql.NumberLiteral() | promql.StringLiteral():
            pass
        case _:
            raise ValueError(f"a kind of expression that this does not know: {type(node).__name__}")


def _demands_of_both(node: Any, wanted: frozenset[str]) -> Iterator[Demand]:
    """Without `on`, both sides have the same labels; with it, the right one needs no others."""
    matching = node.modifier.matching if node.modifier else None
    on = frozenset(matching.labels) if matching else frozenset()
    yield from _demands(node.lhs, wanted | on)
    yield from _demands(node.rhs, on if matching else wanted)
