"""What the report of `prepare` says about the splits, in numbers."""

import hashlib
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from consumer.model.cleaning import CLEANING_VERSION
from consumer.training.data import LABELS, Reading
from consumer.training.prepare_merge import Comment, Conflict, Drops
from consumer.training.similar import SIMILARITY_THRESHOLD

_LANGUAGE_SAMPLE_ROWS = 2000  # loading the detector takes longer, and shares need no more rows
_CONFLICT_EXAMPLES = 5


class InputFile(NamedTuple):
    """A file that was read: its role is "split", "dev" or "test", its rows are counted before any was dropped."""

    path: Path
    role: str
    sha256: str
    rows: int
    unreadable: dict[int, str]
    cut: list[int]


def input_file(reading: Reading, role: str) -> InputFile:
    """Return what provenance needs to know of a file, and the lines that were left out or cut."""
    with reading.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = len(reading.rows) + len(reading.left_out)
    return InputFile(reading.path, role, digest, rows, reading.left_out, reading.cut)


def report_of(
    splits: dict[str, list[Comment]],
    files: Sequence[InputFile],
    drops: Drops,
    conflicts: Sequence[Conflict],
    groups: Any,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the report as it is written to report.json; `groups` are those of near-duplicates that were split."""
    comments = [comment for part in splits.values() for comment in part]
    group_sizes = np.bincount(groups)
    return {
        "files": [_file(file, drops) for file in files],
        "sources": _sources(comments),
        "seed": seed,
        "cleaning_version": CLEANING_VERSION,
        "splits": {name: _split(part) for name, part in splits.items()},
        "scripts": _shares(script_of(comment.row.text) for comment in comments),
        "languages": _languages(comments, seed),
        "near_duplicates": {
            "threshold": SIMILARITY_THRESHOLD,
            "groups": int((group_sizes > 1).sum()),
            "rows": int(group_sizes[group_sizes > 1].sum()),
            "largest_group_rows": int(group_sizes[group_sizes > 1].max(initial=0)),
        },
        "conflicts": {
            "texts": len(conflicts),
            "texts_dropped": sum(conflict.kept is None for conflict in conflicts),
            "examples": [conflict._asdict() for conflict in conflicts[:_CONFLICT_EXAMPLES]],
        },
        "warnings": _warnings(splits),
    }


def script_of(text: str) -> str:
    """Return the Unicode name of the script most letters of `text` are in ("Latin"), or "no letters"."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else "no letters"
    letters = Counter(_script(character) for character in text if character.isalpha())
    return letters.most_common(1)[0][0] if letters else "no letters"


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "unknown").split()[0].capitalize()


def _file(file: InputFile, drops: Drops) -> dict[str, Any]:
    dropped = {reason: count for (path, reason), count in sorted(drops.items()) if path == file.path}
    kept = file.rows - sum(dropped.values())
    return file._asdict() | {"path": str(file.path), "kept": kept, "dropped": dropped}


def _split(comments: Sequence[Comment]) -> dict[str, Any]:
    labels = {
        group: {label: sum(comment.row.labels.get(group) == label for comment in comments) for label in known}
        for group, known in LABELS.items()
    }
    return {
        "rows": len(comments),
        "labels": labels,
        "sources": _sources(comments),
        "characters": _lengths([len(comment.row.text) for comment in comments]),
        "words": _lengths([len(comment.row.text.split()) for comment in comments]),
    }


def _sources(comments: Iterable[Comment]) -> dict[str, int]:
    return dict(sorted(Counter(comment.row.source for comment in comments).items()))


def _lengths(values: Sequence[int]) -> dict[str, int]:
    return {
        "median": round(float(np.median(values))),
        "p95": round(float(np.percentile(values, 95))),
        "max": max(values),
    }


def _shares(names: Iterable[str]) -> dict[str, float]:
    counts = Counter(names)
    return {name: round(count / counts.total(), 4) for name, count in counts.most_common()}


def _languages(comments: Sequence[Comment], seed: int) -> dict[str, Any]:
    if any(comment.language for comment in comments):
        said = (comment.language.split("-")[0].casefold() or "not said" for comment in comments)
        return {"from": "the field language", "rows": len(comments), "shares": _shares(said)}
    if find_spec("py3langid") is None:
        return {"from": "not measured: rows have no field language and py3langid is not installed", "shares": {}}
    import py3langid  # type: ignore[import-untyped]

    size = min(len(comments), _LANGUAGE_SAMPLE_ROWS)
    sample = random.Random(seed).sample(list(comments), size)  # noqa: S311 - not a secret
    detected = (py3langid.classify(comment.row.text)[0] for comment in sample)
    return {"from": f"detected by py3langid in a sample of {size} rows", "rows": size, "shares": _shares(detected)}


def _warnings(splits: dict[str, list[Comment]]) -> list[str]:
    present = {
        name: {group: {comment.row.labels.get(group) for comment in comments} - {None} for group in LABELS}
        for name, comments in splits.items()
    }
    warnings = [
        f"Every {group} label in train is {next(iter(labels))}: a model learns nothing from a single label; "
        f"add rows of another."
        for group, labels in present["train"].items()
        if len(labels) == 1
    ]
    for name in [name for name in splits if name != "train"]:
        for group, known in LABELS.items():
            for label in known:
                if label in present["train"][group] - present[name][group]:
                    warnings.append(
                        f"No row of {name} has the {group} label {label}, so it cannot be measured there; "
                        "add such rows or hold more of them out."
                    )
    return warnings
