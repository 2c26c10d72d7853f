"""Draws the dashboard without Grafana: `python deploy/grafana/plot.py http://localhost:9090 picture.png --minutes 60`.

Every panel of dashboards/moderation.json at its place, from what Prometheus answers to its expressions. Needs
matplotlib (`pip install ".[train]"`). An expression that brought nothing is named, and the exit status is 1.
"""

import argparse
import io
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

Json = dict[str, Any]

DASHBOARD = Path(__file__).parent / "dashboards/moderation.json"
COLUMNS = 24
COLUMN_INCHES, LINE_INCHES = 0.6, 0.33
PICTURE_COLORS = 96
"""A picture of curves needs no more, and so stays small enough for a repository."""
QUERY_TIMEOUT_S = 60
POINTS = 300
LONG_LEGEND = 22
MOST_NAMED = 8
"""Of more curves than this, the legend names those that ever left zero: it would run into the panel below."""


class Window(NamedTuple):
    """What to look at: seconds since 1970, and over how long a rate is made."""

    url: str
    start_s: float
    end_s: float
    rate_interval: str

    @property
    def step_s(self) -> float:
        """Between two points."""
        return max(1.0, (self.end_s - self.start_s) / POINTS)


class Curve(NamedTuple):
    """One series: its legend, its labels, and where it is when."""

    legend: str
    labels: Json
    times_s: list[float]
    values: list[float]


def main() -> int:
    """Draw it, and say what was empty."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prometheus", help="its address, such as http://localhost:9090")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--minutes", type=float, default=60, help="how far back to look")
    parser.add_argument("--until", type=float, default=time.time(), help="seconds since 1970; now unless given")
    parser.add_argument("--rate-interval", default="1m", help="four times the scrape interval")
    given = parser.parse_args()
    window = Window(given.prometheus.rstrip("/"), given.until - given.minutes * 60, given.until, given.rate_interval)
    empty = draw(json.loads(DASHBOARD.read_text()), window, given.picture)
    for what in empty:
        print(f"nothing came back for {what}", file=sys.stderr)  # noqa: T201
    return 1 if empty else 0


def draw(dashboard: Json, window: Window, picture: Path) -> list[str]:
    """Write the picture; returns the expressions that brought nothing. Raises OSError when Prometheus does not
    answer."""
    mpl.rcParams.update({"font.size": 7, "axes.spines.top": False, "axes.spines.right": False})
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure(figsize=(COLUMNS * COLUMN_INCHES, height * LINE_INCHES))
    alerts = curves({"expr": dashboard["annotations"]["list"][0]["expr"], "legendFormat": "{{alertname}}"}, window)
    empty = []
    for panel in dashboard["panels"]:
        found = []
        for target in panel.get("targets", []):
            new = curves(target, window)
            found += new
            empty += [] if new else [f"{panel['title']!r}: {target['expr']}"]
        _draw_panel(figure, height, panel, found, alerts, window)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    Image.open(drawn).convert("RGB").quantize(PICTURE_COLORS).save(picture, optimize=True)
    return empty


def curves(target: Json, window: Window) -> list[Curve]:
    """What Prometheus says about one expression of a panel."""
    expression = target["expr"].replace("$__rate_interval", window.rate_interval)
    expression = expression.replace("$job", ".+").replace("$instance", ".+")
    asked = {"query": expression, "start": window.start_s, "end": window.end_s, "step": window.step_s}
    query = urllib.parse.urlencode(asked).encode()
    with urllib.request.urlopen(f"{window.url}/api/v1/query_range", query, QUERY_TIMEOUT_S) as answer:  # noqa: S310
        series = json.load(answer)["data"]["result"]
    return [_curve(one, target["legendFormat"]) for one in series]


def _curve(series: Json, legend: str) -> Curve:
    labels = series["metric"]
    times_s, values = zip(*((at, float(value)) for at, value in series["values"]), strict=True)
    return Curve(
        re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), legend), labels, list(times_s), list(values)
    )


def _draw_panel(
    figure: Figure, height: int, panel: Json, found: list[Curve], alerts: list[Curve], window: Window
) -> None:
    place = panel["gridPos"]
    left, bottom = place["x"] / COLUMNS, 1 - (place["y"] + place["h"]) / height
    if panel["type"] == "row":
        figure.text(left + 0.005, bottom + 0.2 / height, panel["title"], fontsize=12, fontweight="bold")
        return
    figure.text(
        left + 0.01, 1 - (place["y"] + 0.45) / height, panel["title"], fontsize=8, fontweight="bold", va="center"
    )
    small = panel["type"] == "stat"
    below, above = (0.3, 1.2) if small else (2.2, 1.0)  # in lines of the grid: the legend's, and the title's
    axes = figure.add_axes(
        (
            left + (0.3 if small else 1.0) / COLUMNS,
            bottom + below / height,
            (place["w"] - (0.6 if small else 1.5)) / COLUMNS,
            (place["h"] - below - above) / height,
        )
    )
    {"stat": _draw_number, "timeseries": _draw_lines, "table": _draw_table}[panel["type"]](axes, panel, found)
    if panel["type"] == "timeseries":
        for alert in alerts:
            for at in alert.times_s:
                axes.axvspan(_days(at), _days(at + window.step_s), ymax=0.03, color="red", linewidth=0)
        axes.set_xlim(_days(window.start_s), _days(window.end_s))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]


def _draw_number(axes: Axes, panel: Json, found: list[Curve]) -> None:
    axes.axis("off")
    if not found:
        return
    [curve] = found
    value = curve.values[-1]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    color = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    axes.fill_between(curve.times_s, curve.values, color=color, alpha=0.15, linewidth=0)
    axes.set_ylim(0, max([value for value in curve.values if not math.isnan(value)] + [1e-9]) * 2)  # below the number
    text = "–" if math.isnan(value) else _written(panel["fieldConfig"]["defaults"]["unit"])(value)
    axes.text(0.5, 0.6, text, transform=axes.transAxes, ha="center", va="center", fontsize=17, color=color)


def _draw_lines(axes: Axes, panel: Json, found: list[Curve]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    names = [c.legend if len(found) <= MOST_NAMED or any(c.values) else f"_{c.legend}" for c in found]  # _ = unnamed
    if defaults["custom"]["stacking"]["mode"] == "normal" and found:
        times_s = sorted({at for curve in found for at in curve.times_s})
        values = [[dict(zip(c.times_s, c.values, strict=True)).get(at, 0.0) for at in times_s] for c in found]
        axes.stackplot([_days(at) for at in times_s], values, labels=names, alpha=0.6)
    else:
        for curve, name in zip(found, names, strict=True):
            axes.plot([_days(at) for at in curve.times_s], curve.values, label=name, linewidth=1)
    limits = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    for limit in limits:
        axes.axhline(limit, color="red", linewidth=0.8, linestyle="--")
    if defaults["custom"]["scaleDistribution"]["type"] == "log":
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, defaults.get("max"))
    axes.grid(visible=True, linewidth=0.3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _written(defaults["unit"])(value)))
    if found:
        columns = 4 if max(len(curve.legend) for curve in found) < LONG_LEGEND else 2
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=columns, frameon=False, fontsize=6)


def _draw_table(axes: Axes, panel: Json, found: list[Curve]) -> None:
    axes.axis("off")
    columns = panel["transformations"][0]["options"]["include"]["names"]
    cells = [[curve.labels.get(name, "") for name in columns] for curve in found]
    if cells:
        table = axes.table(cells, colLabels=columns, loc="upper center", cellLoc="left")
        table.auto_set_font_size(False)
        table.set_fontsize(6)
        table.auto_set_column_width(list(range(len(columns))))


def _written(unit: str) -> Callable[[float], str]:
    return {
        "s": lambda value: f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms",
        "percentunit": lambda value: f"{value * 100:.3g} %",
        "bytes": lambda value: f"{value / 1e6:.0f} MB",
        "cps": lambda value: f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s",
        "reqps": lambda value: f"{value:.3g}/s",
        "short": lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
    }[unit]


def _days(at_s: float) -> float:
    """matplotlib's dates are days."""
    return at_s / 86_400


if __name__ == "__main__":
    sys.exit(main())
