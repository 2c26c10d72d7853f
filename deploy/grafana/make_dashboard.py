"""Writes the Grafana dashboard: `python deploy/grafana/make_dashboard.py >deploy/grafana/dashboards/moderation.json`.

In two thousand lines of JSON nobody sees what a change changes; in rows_stream.py and rows_parts.py a panel is a few.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from panels import DATASOURCE, Json
from rows_parts import CACHE, HTTP, MODEL, PROCESS
from rows_stream import OVERVIEW, STREAM

SCHEMA_VERSION = 42
"""The last version of dashboards of this form. Grafana 11 and 12 write it or an older one, 13 reads it."""
COLUMNS = 24

ROWS = {
    "Overview": OVERVIEW,
    "Stream": STREAM,
    "Model": MODEL,
    "Cache": CACHE,
    "HTTP": HTTP,
    "Process": PROCESS,
}


def main() -> None:
    """Write it to standard output."""
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")


def dashboard() -> Json:
    """The whole dashboard."""
    return {
        "uid": "comment-moderation",
        "title": "Comment moderation",
        "description": "The comment moderation stream. What each alert means: deploy/OPERATIONS.md.",
        "tags": ["moderation"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,  # the moment that the mouse points at is shown in all panels
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "refresh": "15s",
        "annotations": {"list": [_alerts()]},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _variable("job", "Job", "label_values(moderation_in_flight_comments, job)"),
                _variable("instance", "Member", 'label_values(moderation_in_flight_comments{job=~"$job"}, instance)'),
            ]
        },
        "panels": list(_placed(ROWS)),
    }


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"Variable-{name}"},
        "refresh": 2,  # whenever the time range changes: members come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _alerts() -> Json:
    return {
        "name": "Alerts",
        "enable": True,
        "datasource": DATASOURCE,
        "expr": 'ALERTS{alertname=~"Moderation.+",alertstate="firing",job=~"$job"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}}",
        "tagKeys": "severity",
        "step": "60s",
        "iconColor": "red",
    }


def _placed(rows: dict[str, list[Json]]) -> Iterable[Json]:
    """All panels with an id and a place: from left to right, then below the highest of the line."""
    number, y = 0, 0
    for title, panels in rows.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": []} | _place(0, y, COLUMNS, 1)
        x, y, height = 0, y + 1, 0
        for panel in panels:
            size: dict[str, Any] = panel["gridPos"]
            if x + size["w"] > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield {"id": number} | panel | _place(x, y, size["w"], size["h"])
            x, height = x + size["w"], max(height, size["h"])
        y += height


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"gridPos": {"x": x, "y": y, "w": width, "h": height}}


if __name__ == "__main__":
    main()
