"""From files of labelled comments to a clean, deduplicated, stratified train/dev/test split with a report."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from consumer.training.data import assume_clean as assumed_clean
from consumer.training.data import read_file
from consumer.training.errors import TrainingError
from consumer.training.prepare_markdown import markdown
from consumer.training.prepare_merge import (
    NEAR_HELD_OUT,
    UNREADABLE,
    Comment,
    Conflict,
    Drops,
    cleaned_comments,
    merged,
)
from consumer.training.prepare_report import InputFile, input_file, report_of
from consumer.training.similar import groups_of_similar, similar_to_any
from consumer.training.whole import whole_or_nothing

SPLITS = ("train", "dev", "test")

_MAX_HELD_OUT_GROUP = 10  # rows; a wave of spam in a small held-out split would decide what is measured there

T = TypeVar("T")


def prepare(
    files: Sequence[Path],
    output: Path,
    *,
    dev: Path | None = None,
    test: Path | None = None,
    dev_share: float = 0.05,
    test_share: float = 0.05,
    assume_clean: Sequence[str] = (),
    seed: int = 42,
    on_step: Callable[[str], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write {train,dev,test}.jsonl.gz, report.json and report.md to the new directory `output`; return the report.

    The shares are those of groups of near-duplicates, which stay together; a split that is given as a file needs none,
    and a `test_share` of 0 makes no test split. Rows of `files` without a toxicity label whose source is in
    `assume_clean` count as clean, in the training split alone: what is measured are labels people gave.
    The same files, options and seed give the same bytes. `on_step` is told what is being done, `on_note` how
    a file is read where that is not as usual.
    Raises TrainingError; `output` appears whole or not at all.
    """
    if output.exists():
        raise TrainingError(f"{output} exists already; remove it or choose another output directory")
    given = {name: path for name, path in (("dev", dev), ("test", test)) if path}
    shares = {"dev": 0.0 if dev else dev_share, "test": 0.0 if test else test_share}
    _check(files, given, shares)

    drops: Drops = Drops()
    conflicts: list[Conflict] = []
    inputs: list[InputFile] = []

    def read(paths: Sequence[Path], role: str) -> list[Comment]:
        comments: list[Comment] = []
        for path in paths:
            on_step(f"reading and cleaning {path}")
            reading = read_file(path, on_note)
            inputs.append(input_file(reading, role))
            if reading.left_out:
                drops[path, UNREADABLE] += len(reading.left_out)
            comments += cleaned_comments(reading.rows, path, drops)
        kept, found = merged(comments, drops)
        conflicts.extend(found)
        return kept

    pool = read(files, "split")
    held_out = {name: read([path], name) for name, path in given.items()}
    on_step("comparing with the held-out files")
    if dev and test:
        held_out["dev"] = _unlike(held_out["dev"], held_out["test"], drops)
    pool = _unlike(pool, [comment for part in held_out.values() for comment in part], drops)
    on_step(f"looking for near-duplicates among {len(pool)} rows")
    groups = groups_of_similar([comment.row.text for comment in pool])
    splits = _split(pool, groups, shares, seed) | held_out
    splits = {name: splits[name] for name in SPLITS if name in ("train", *given) or shares[name] > 0}
    _refuse_empty(splits, shares, sum(file.rows for file in inputs), len(pool))
    assumed_rows = _assume_clean(splits, assume_clean)
    on_step("checking that no near-duplicates are left across splits")
    across = _similar_across(splits)
    if across:
        raise TrainingError(f"{across} rows resemble a row of another split, which is a bug; please report it")
    on_step("measuring the splits")
    report = report_of(splits, inputs, drops, conflicts, groups, seed=seed)
    report["assumed_clean"] = {"sources": sorted(assume_clean), "rows": assumed_rows}
    report["near_duplicates"]["across_splits"] = across
    _write(output, splits, report)
    return report


def _check(files: Sequence[Path], given: dict[str, Path], shares: dict[str, float]) -> None:
    paths = [*files, *given.values()]
    for path in paths:
        if paths.count(path) > 1:
            raise TrainingError(f"{path} is given twice; give every file once")
    if "dev" not in given and shares["dev"] <= 0:
        raise TrainingError("the best checkpoint is chosen on dev rows; give --dev FILE or a --dev-share above 0")
    if min(shares.values()) < 0 or sum(shares.values()) >= 1:
        raise TrainingError("the dev share and the test share leave nothing to train on; choose smaller ones")


def _unlike(comments: Sequence[Comment], held_out: Sequence[Comment], drops: Drops) -> list[Comment]:
    """Return the comments that neither equal nor resemble one that is held out; `drops` counts the others."""
    keys = {comment.key for comment in held_out}
    similar = similar_to_any([comment.row.text for comment in comments], [comment.row.text for comment in held_out])
    kept = []
    for comment, is_similar in zip(comments, similar, strict=True):
        if is_similar or comment.key in keys:
            drops[comment.file, NEAR_HELD_OUT] += 1
        else:
            kept.append(comment)
    return kept


def _split(pool: Sequence[Comment], groups: Any, shares: dict[str, float], seed: int) -> dict[str, list[Comment]]:
    """Return the splits, each with its share of the groups of every stratum (source and labels), give or take one."""
    sizes = np.bincount(groups, minlength=len(pool))
    small = [int(first) for first in np.flatnonzero((sizes > 0) & (sizes <= _MAX_HELD_OUT_GROUP))]
    random.Random(seed).shuffle(small)  # noqa: S311 - not a secret
    small.sort(key=lambda first: (pool[first].row.source, sorted(pool[first].row.labels.items())))
    test = set(_evenly(small, shares["test"]))
    dev = set(_evenly([first for first in small if first not in test], shares["dev"] / (1 - shares["test"])))
    splits: dict[str, list[Comment]] = {name: [] for name in SPLITS}
    for comment, first in zip(pool, groups, strict=True):
        splits["test" if first in test else "dev" if first in dev else "train"].append(comment)
    return splits


def _evenly(items: Sequence[T], share: float) -> list[T]:
    """Return a share of the items at even distances: each stretch of them, even a short one, gives about its share."""
    return [item for number, item in enumerate(items) if int((number + 1) * share) > int(number * share)]


def _refuse_empty(splits: dict[str, list[Comment]], shares: dict[str, float], rows_read: int, rows_left: int) -> None:
    for name, comments in splits.items():
        if not comments:
            raise TrainingError(
                f"no row is left for {name}: of the {rows_read} rows read, {rows_left} are left to split; "
                f"give more rows{f' or a larger --{name}-share' if shares.get(name) else ''}"
            )


def _assume_clean(splits: dict[str, list[Comment]], sources: Sequence[str]) -> int:
    """Label the training comments of `sources` that have no toxicity label clean; return how many."""
    train = splits["train"]
    known = {comment.row.source for comment in train}
    for source in sources:
        if source not in known:
            names = ", ".join(sorted(name for name in known if name)) or "not named in the files"
            raise TrainingError(f'--assume-clean is "{source}", from which no training row comes; sources are {names}')
    rows = assumed_clean([comment.row for comment in train], sources)
    splits["train"] = [comment._replace(row=row) for comment, row in zip(train, rows, strict=True)]
    return sum(row != comment.row for comment, row in zip(train, rows, strict=True))


def _similar_across(splits: dict[str, list[Comment]]) -> int:
    """Count the rows that equal or resemble a row of a later split."""
    names = list(splits)
    dropped = Drops()
    for number, name in enumerate(names):
        _unlike(splits[name], [comment for later in names[number + 1 :] for comment in splits[later]], dropped)
    return dropped.total()


def _write(output: Path, splits: dict[str, list[Comment]], report: dict[str, Any]) -> None:
    try:
        with whole_or_nothing(output) as whole:
            for name, comments in splits.items():
                lines = (json.dumps(_record(comment), ensure_ascii=False) + "\n" for comment in comments)
                # Without a time in the file, the same rows are the same bytes.
                (whole / f"{name}.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
            (whole / "report.json").write_text(json.dumps(report, indent=2) + "\n")
            (whole / "report.md").write_text(markdown(report), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{output} cannot be written: {error.strerror}; choose another output directory") from error


def _record(comment: Comment) -> dict[str, str]:
    return {"text": comment.row.text, **comment.row.labels, "source": comment.row.source}
