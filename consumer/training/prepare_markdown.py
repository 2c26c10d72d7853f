"""The report of `prepare` as Markdown: a file to keep beside the data, and what the terminal shows."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from consumer.terminal.text import printable
from consumer.training.data import odd_texts

_SHARES_SHOWN = 8
_MARKUP = re.compile(r"[\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w)")


def markdown(report: dict[str, Any]) -> str:
    """Return the report for a reader; every number of it is in report.json too."""
    splits, similar, conflicts = report["splits"], report["near_duplicates"], report["conflicts"]
    files = report["files"]
    sections = [
        "# Prepared comments",
        *(f"**Warning:** {warning}" for warning in report["warnings"]),
        "## Rows read",
        _table(
            ["file", "for", "rows", "kept", "dropped"],
            (
                [_name(file["path"]), file["role"], file["rows"], file["kept"], _counts(file["dropped"])]
                for file in files
            ),
        ),
        *(f"{note}." for file in files for note in odd_texts(_name(file["path"]), file["unreadable"], file["cut"])),
        "## Splits",
        _table(["", *splits], _split_lines(splits)),
        "## Scripts and languages",
        f"Scripts, by rows: {_shares(report['scripts'])}.",
        f"Languages, {report['languages']['from']}: {_shares(report['languages']['shares'])}.",
        "## Near-duplicates",
        f"Two comments are near-duplicates when at least {similar['threshold']:.0%} of their word pairs are shared. "
        f"{similar['rows']} rows are in {similar['groups']} groups of near-duplicates, the largest of "
        f"{similar['largest_group_rows']} rows; each group is in one split as a whole. "
        f"Across splits: {similar['across_splits']}, checked after the split.",
        "## Conflicting labels",
        f"{conflicts['texts']} texts came with different labels; {conflicts['texts_dropped']} of them had no majority "
        "and were dropped, the others have the label of most of their rows.",
        "\n".join(_conflict(example) for example in conflicts["examples"]),
        "## Provenance",
        f"Seed {report['seed']}, text cleaning version {report['cleaning_version']}.",
        _assumed(report["assumed_clean"]),
        _table(["file", "sha256"], ([_name(file["path"]), file["sha256"]] for file in files)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _split_lines(splits: dict[str, Any]) -> Iterable[list[Any]]:
    parts = list(splits.values())
    yield ["rows", *(part["rows"] for part in parts)]
    for group, labels in parts[0]["labels"].items():
        for label in labels:
            yield [f"{group}: {label}", *(_balance(part["labels"][group], label) for part in parts)]
    for unit in ("characters", "words"):
        for statistic in parts[0][unit]:
            yield [f"{unit}: {statistic}", *(part[unit][statistic] for part in parts)]
    for source in sorted({source for part in parts for source in part["sources"]}):
        yield [f"source: {_name(source) or 'not named'}", *(part["sources"].get(source, 0) for part in parts)]


def _balance(labels: dict[str, int], label: str) -> str:
    labelled = sum(labels.values())
    return f"{labels[label]} ({labels[label] / labelled:.1%})" if labelled else "0"


def _counts(dropped: dict[str, int]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"


def _shares(shares: dict[str, float]) -> str:
    shown = [f"{_name(name)} {share:.1%}" for name, share in list(shares.items())[:_SHARES_SHOWN]]
    rest = len(shares) - len(shown)
    return ", ".join(shown + ([f"and {rest} more"] if rest else [])) or "unknown"


def _conflict(example: dict[str, Any]) -> str:
    places = ", ".join(f"{label} at {_name(place)}" for label, place in example["places"].items())
    return f"* {example['group']}: {places}; {'kept ' + example['kept'] if example['kept'] else 'dropped'}"


def _assumed(assumed: dict[str, Any]) -> str:
    if not assumed["sources"]:
        return ""
    return f"{assumed['rows']} training rows of {', '.join(map(_name, assumed['sources']))} were assumed to be clean."


def _table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _name(name: str) -> str:
    """A name that came with the data: on one line, without what moves a cursor, and no Markdown in it."""
    return _MARKUP.sub(r"\\\g<0>", printable(name))
