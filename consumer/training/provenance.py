"""Where a model's training rows come from, as its directory and its card say it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consumer.model.files import read_json
from consumer.model.source import find
from consumer.training.data import Row
from consumer.training.errors import TrainingError


def data_facts(data: Path, epoch_rows: Sequence[Row], continue_from: str | None) -> dict[str, Any]:
    """Return the rows by source, the files they come from, and the same of the model that is continued.

    `data` is what `prepare` wrote or one file. Raises TrainingError when its report cannot be read.
    """
    by_source: dict[str, int] = {}
    for row in epoch_rows:
        by_source[row.source] = by_source.get(row.source, 0) + 1
    facts: dict[str, Any] = {"rows_by_source": by_source, "files": _data_files(data)}
    if continue_from:
        earlier = find(continue_from).directory / "training.json"
        facts["continues"] = read_json(earlier, continue_from) if earlier.is_file() else {"model": continue_from}
    return facts


def _data_files(data: Path) -> list[dict[str, Any]]:
    """Return the files that `prepare` read, or DATA itself, with their digests."""
    report = data / "report.json"
    if not data.is_dir():
        return [file_facts(data)]
    try:
        files: list[dict[str, Any]] = json.loads(report.read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{report} cannot be read; write {data} again with: moderate train prepare") from error
    return [{"path": Path(file["path"]).name, "sha256": file["sha256"], "rows": file["rows"]} for file in files]


def file_facts(path: Path) -> dict[str, Any]:
    """Return a file's name and digest; its folder is nobody's business."""
    with path.open("rb") as file:
        return {"path": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
