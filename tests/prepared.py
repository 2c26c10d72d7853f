"""Labelled rows to prepare, and what was made of them."""

import json
from pathlib import Path
from typing import Any

from consumer.training.data import read_rows

Record = dict[str, Any]


def write(path: Path, rows: list[Record]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def numbered(count: int, **fields: str) -> list[Record]:
    """Rows of which no two resemble one another."""
    mark = "".join(fields.values())
    return [{"text": f"{mark}a{n} {mark}b{n} {mark}c{n}", **fields} for n in range(count)]


def everything() -> list[Record]:
    return [
        *numbered(60, sentiment="positive", source="reviews"),
        *numbered(40, sentiment="negative", source="reviews"),
        *numbered(40, toxicity="toxic", source="forum"),
        *numbered(60, toxicity="clean", source="forum"),
        *numbered(1, sentiment="neutral", source="lonely"),
    ]


def texts(output: Path, split: str) -> list[str]:
    return [row.text for row in read_rows(output / f"{split}.jsonl.gz")]
