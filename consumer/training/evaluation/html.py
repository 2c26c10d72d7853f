"""An evaluation report as one page that needs no network and no scripts."""

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from consumer.training.evaluation.plots import confusion_plot, reliability_plot, threshold_plot
from consumer.training.evaluation.terminal import number

_CODES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class PlainTable(NamedTuple):
    """A table as the template writes it: every cell is text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def page(report: dict[str, Any]) -> str:
    """Return the report as HTML. Texts and names in it are escaped; the plots are inline SVG."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_without_codes
    )
    environment.filters |= {"number": number, "percent": percent}
    template = environment.from_string((files(__package__) / "report.html.jinja").read_text(encoding="utf-8"))
    plots = {group: _plots(measured) for group, measured in report["groups"].items()}
    trust = {name: list(plain_tables(name, report[name])) for name in ("bias", "robustness") if name in report}
    return template.render(report=report, plots=plots, trust=trust)


def _without_codes(value: Any) -> Any:
    """A page is read on a terminal too, and a text that turns the line around misleads in a browser as well."""
    return _CODES.sub("·", value) if type(value) is str else value  # not Markup: the plots are ours


def percent(value: float | None) -> str:
    """Return a share in percent with one digit, and a dash for one that is undefined."""
    return "–" if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def plain_tables(title: str, content: dict[str, Any]) -> Iterator[PlainTable]:
    """Yield a nested dictionary as tables: one of its plain values, and one for every list or dictionary in it.

    A list of dictionaries is a table of its own, and so is a dictionary of dictionaries, its keys in the first column.
    """
    plain = {key: value for key, value in content.items() if not isinstance(value, dict | list)}
    yield from _table(title, [plain] if plain else [])
    for key, value in content.items():
        if isinstance(value, list):
            yield from _table(key, value)
        elif isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
            yield from _table(key, [{"": name} | part for name, part in value.items()])
        elif isinstance(value, dict):
            yield from plain_tables(key, value)


def _table(title: str, records: list[dict[str, Any]]) -> Iterator[PlainTable]:
    if records:
        columns = list(records[0])
        rows = [[_cell(record[column]) for column in columns] for record in records]
        yield PlainTable(_words(title), [_words(column) for column in columns], rows)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) or value is None:
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plots(measured: dict[str, Any]) -> dict[str, Markup]:
    plots = {
        "confusion": confusion_plot(measured["confusion"]["labels"], measured["confusion"]["matrix"]),
        "reliability": reliability_plot(measured["calibration"]["bins"]),
    }
    if measured["thresholds"]:
        plots["thresholds"] = threshold_plot(measured["thresholds"])
    return plots
