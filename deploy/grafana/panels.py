"""The kinds of panels of the dashboard, and the PromQL that they have in common. Every panel fits Grafana's own kinds:
no plugin is needed."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = 'job=~"$job",instance=~"$instance"'
"""Every expression about members is about those that are chosen at the top of the dashboard."""
RED = "red"


def gauge(metric: str, *matchers: str) -> str:
    """A metric as it is, for each of the members."""
    return f"{metric}{{{','.join([CHOSEN, *matchers])}}}"


def rate(counter: str, *matchers: str, by: str = "") -> str:
    """A counter's increase in a second, over all members, by the labels `by`."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({gauge(counter, *matchers)}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """One expression's part of another, 0 to 1."""
    return f"{part} / {whole}"


def quantile(of_values: float, histogram: str, by: str = "") -> str:
    """What the share `of_values` of a histogram's values is at most."""
    return f"histogram_quantile({of_values}, {rate(f'{histogram}_bucket', by=f'le, {by}' if by else 'le')})"


def mean(histogram: str) -> str:
    """The mean of a histogram's values."""
    return share(rate(f"{histogram}_sum"), rate(f"{histogram}_count"))


def p50_and_p99(histogram: str, by: str = "") -> dict[str, str]:
    """Two curves, or two for each value of the label `by`."""
    of = f"{{{{{by}}}}} " if by else ""
    return {f"{of}p50": quantile(0.5, histogram, by), f"{of}p99": quantile(0.99, histogram, by)}


def number(
    title: str, expr: str, unit: str, meaning: str, *, warn: float | None = None, bad: float | None = None
) -> Json:
    """One large number with its course; it turns orange at `warn` and red at `bad`."""
    steps: list[Json] = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": at} for color, at in (("orange", warn), (RED, bad)) if at is not None]
    return _panel("stat", title, meaning, {"": expr}, width=3, height=4) | {
        "fieldConfig": _fields({"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}),
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value",
        },
    }


def lines(
    title: str,
    exprs: Mapping[str, str],
    unit: str,
    meaning: str,
    *,
    stacked: bool = False,
    limit: float | None = None,
    highest: float | None = None,
    log: bool = False,
) -> Json:
    """Curves, by what the legend calls them. A red line is drawn at `limit`; the axis ends at `highest`, or is one of
    powers of ten with `log`."""
    steps: list[Json] = [{"color": "transparent", "value": None}]
    steps += [] if limit is None else [{"color": RED, "value": limit}]
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": {
            "drawStyle": "line",
            "fillOpacity": 30 if stacked else 8,
            "showPoints": "never",
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
            "thresholdsStyle": {"mode": "off" if limit is None else "line"},
        },
    }
    ends: Json = {} if log else {"min": 0}  # a logarithmic axis cannot begin there
    ends |= {} if highest is None else {"max": highest}
    return _panel("timeseries", title, meaning, exprs, width=8, height=8) | {
        "fieldConfig": _fields(defaults | ends),
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def table(title: str, expr: str, columns: list[str], meaning: str) -> Json:
    """The labels `columns` of what there is now."""
    panel = _panel("table", title, meaning, {"": expr}, width=8, height=8)
    panel["targets"][0] |= {"format": "table", "instant": True, "range": False}
    return panel | {
        "fieldConfig": _fields({}),
        "options": {"showHeader": True},
        "transformations": [
            {"id": "filterFieldsByName", "options": {"include": {"names": columns}}},
            {"id": "organize", "options": {"indexByName": {name: place for place, name in enumerate(columns)}}},
        ],
    }


def _panel(kind: str, title: str, meaning: str, exprs: Mapping[str, str], *, width: int, height: int) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": meaning,
        "datasource": DATASOURCE,
        "gridPos": {"h": height, "w": width},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": legend,
                "range": True,
            }
            for place, (legend, expr) in enumerate(exprs.items())
        ],
    }


def _fields(defaults: Json) -> Json:
    return {"defaults": defaults, "overrides": []}
