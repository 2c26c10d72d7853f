"""What the fuzzing gives to the commands that read files, and what must hold of it."""

import json
import shutil
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from consumer.training.prepare import prepare
from tests.chaos.fuzz_targets import Target
from tests.table_checks import check_comes_back, check_loses_no_row, miswritten_tables, read, tables
from tests.text_strategies import texts

SOUND_ROWS = 30
"""Enough of them for a split, whatever the others are."""

hostile_rows = st.lists(
    st.fixed_dictionaries(
        {"text": texts(), "sentiment": st.sampled_from(["positive", "negative"])},
        optional={"source": texts(), "language": texts(), "toxicity": st.sampled_from(["clean", "toxic", ""])},
    ),
    min_size=1,
    max_size=8,
)


def check_preparation(folder: Path, rows: list[dict[str, str]]) -> None:
    """Every row is kept or dropped for a reason, and the report holds nothing that a terminal obeys."""
    sound = [{"text": f"word{number} is very good", "sentiment": "positive"} for number in range(SOUND_ROWS)]
    file, output = folder / "rows.jsonl", folder / "prepared"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows + sound))
    shutil.rmtree(output, ignore_errors=True)
    (facts,) = prepare([file], output, dev_share=0.2, test_share=0)["files"]
    assert facts["rows"] == len(rows) + SOUND_ROWS == facts["kept"] + sum(facts["dropped"].values())
    report = (output / "report.md").read_text(encoding="utf-8")
    assert all(character.isprintable() or character == "\n" for character in report)


def file_targets(folder: Path) -> list[Target]:
    """Every way in for files, which are written into `folder`."""
    return [
        Target("tables", tables(), partial(check_comes_back, read, folder / "a.csv")),
        Target("miswritten tables", miswritten_tables(), partial(check_loses_no_row, read, folder / "b.csv")),
        Target("training", hostile_rows, partial(check_preparation, folder)),
    ]
