import json
from collections import Counter
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.training import prepare as preparing
from consumer.training.data import read_rows
from consumer.training.errors import TrainingError
from consumer.training.prepare import prepare
from consumer.training.prepare_report import script_of
from consumer.training.similar import similar_to_any
from tests.prepared import Record, everything, numbered, texts, write


def test_a_split_is_stratified_whole_and_described_by_its_report(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", everything())
    output = tmp_path / "deep" / "prepared"
    report = prepare([file], output, dev_share=0.1, test_share=0.2)
    assert json.loads((output / "report.json").read_text()) == report
    assert sorted(path.name for path in output.iterdir()) == [
        "dev.jsonl.gz", "report.json", "report.md", "test.jsonl.gz", "train.jsonl.gz",
    ]  # fmt: skip
    splits = {name: read_rows(output / f"{name}.jsonl.gz") for name in ("train", "dev", "test")}
    assert Counter(row.text for part in splits.values() for row in part) == Counter(row["text"] for row in everything())
    for name, share in {"dev": 0.1, "test": 0.2}.items():
        for label, total in {"positive": 60, "negative": 40, "toxic": 40, "clean": 60}.items():
            assert abs(sum(label in row.labels.values() for row in splits[name]) - share * total) <= 1
    assert report["sources"] == {"forum": 100, "lonely": 1, "reviews": 100}
    assert report["splits"]["dev"]["rows"] == len(splits["dev"])
    assert report["splits"]["train"]["words"] == {"median": 3, "p95": 3, "max": 3}
    assert report["files"] == [
        {
            "path": str(file),
            "role": "split",
            "sha256": sha256(file.read_bytes()).hexdigest(),
            "rows": 201,
            "unreadable": {},
            "cut": [],
            "kept": 201,
            "dropped": {},
        }
    ]
    assert str(file) in (output / "report.md").read_text()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_split(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", everything())
    for name, seed in {"one": 1, "again": 1, "other": 2}.items():
        prepare([file], tmp_path / name, seed=seed)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert texts(tmp_path / "one", "dev") != texts(tmp_path / "other", "dev")


def test_every_row_read_is_kept_or_dropped_for_a_reason(tmp_path: Path) -> None:
    one = write(
        tmp_path / "one.jsonl",
        [
            *everything(),
            {"text": "\u200b", "sentiment": "positive"},
            {"text": "Fine by me", "sentiment": "positive", "source": "s"},
            {"text": "Oh well", "toxicity": "toxic"},
            {"text": "Shut up", "toxicity": "toxic"},
            {"text": "Shut up", "toxicity": "clean"},
        ],
    )
    other = write(
        tmp_path / "other.jsonl",
        [
            {"text": "fine  by me", "toxicity": "clean", "source": "t"},  # merged: it adds a label
            {"text": "Oh well", "toxicity": "clean"},
            {"text": "Oh well", "toxicity": "clean"},
        ],
    )
    report = prepare([one, other], tmp_path / "out")
    assert [file["dropped"] for file in report["files"]] == [
        {"conflicting label, outvoted": 1, "conflicting labels, no majority": 2, "empty after cleaning": 1},
        {"duplicate": 2},
    ]
    assert [file["kept"] for file in report["files"]] == [202, 1]
    kept = {
        row.text: row for split in ("train", "dev", "test") for row in read_rows(tmp_path / "out" / f"{split}.jsonl.gz")
    }
    assert len(kept) == sum(file["kept"] for file in report["files"])
    assert kept["Fine by me"].labels == {"sentiment": "positive", "toxicity": "clean"}
    assert kept["Fine by me"].source == "s"
    assert kept["Oh well"].labels == {"toxicity": "clean"}
    assert "Shut up" not in kept
    assert report["conflicts"] == {
        "texts": 2,
        "texts_dropped": 1,
        "examples": [
            {"group": "toxicity", "places": {"toxic": f"{one}:204", "clean": f"{other}:2"}, "kept": "clean"},
            {"group": "toxicity", "places": {"toxic": f"{one}:205", "clean": f"{one}:206"}, "kept": None},
        ],
    }


LABELLED = st.fixed_dictionaries(
    {"text": st.sampled_from(["a", "A", "b", "c", "d e", "http", "&#8203;", "@x", "@y"])},
    optional={
        "sentiment": st.sampled_from(["negative", "neutral", "positive"]),
        "source": st.text(max_size=3),
        "language": st.text(max_size=3),
    },
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(LABELLED, max_size=12), seed=st.integers(0, 9))
def test_whatever_the_rows_are_the_splits_are_disjoint_and_the_report_adds_up(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], seed: int
) -> None:
    directory = tmp_path_factory.mktemp("any")
    file = write(directory / "a.jsonl", [{"toxicity": "clean"} | row for row in rows] + everything()[::10])
    report = prepare([file], directory / "out", dev_share=0.3, test_share=0.3, seed=seed)
    splits = [texts(directory / "out", name) for name in ("train", "dev", "test")]
    for left, right in combinations(splits, 2):
        assert not {text.casefold() for text in left} & {text.casefold() for text in right}
    assert report["files"][0]["kept"] == sum(map(len, splits)) == sum(report["sources"].values())


def test_near_duplicates_stay_together_and_a_wave_of_them_in_training(tmp_path: Path) -> None:
    def templates(count: int, letter: str) -> list[Record]:
        words = " ".join(f"{letter}{n}" for n in range(12))
        return [{"text": f"{words} {letter}number{n}", "toxicity": "toxic"} for n in range(count)]

    pairs = [row for n in range(40) for row in templates(2, f"pair{n}x")]
    file = write(tmp_path / "a.jsonl", [*everything(), *pairs, *templates(30, "wave")])
    report = prepare([file], tmp_path / "out", dev_share=0.3, test_share=0.3)
    splits = {name: texts(tmp_path / "out", name) for name in ("train", "dev", "test")}
    for left, right in combinations(splits.values(), 2):
        assert not similar_to_any(left, right).any()
    assert any("pair" in text for text in splits["dev"])
    assert sum("wave" in text for text in splits["train"]) == 30
    assert report["near_duplicates"] == {
        "threshold": 0.7, "groups": 41, "rows": 110, "largest_group_rows": 30, "across_splits": 0,
    }  # fmt: skip


def test_a_split_that_leaks_is_refused_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f"one two three four five six seven eight nine ten {n}", "toxicity": "toxic"} for n in range(100)]
    monkeypatch.setattr(preparing, "groups_of_similar", lambda texts: np.arange(len(texts)))
    with pytest.raises(TrainingError, match="resemble a row of another split"):
        prepare([write(tmp_path / "a.jsonl", rows)], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_given_files_are_the_splits_and_training_holds_nothing_like_them(tmp_path: Path) -> None:
    sentence = "one two three four five six seven eight nine ten eleven"
    dev = write(
        tmp_path / "dev.jsonl",
        [
            {"text": "See  https://a.b", "toxicity": "clean"},
            {"text": f"{sentence} DEV", "toxicity": "toxic"},
            {"text": ":-(", "sentiment": "negative"},
            {"text": "also in test", "toxicity": "clean"},
        ],
    )
    test = write(tmp_path / "test.jsonl", [{"text": "Also in TEST!", "toxicity": "clean"}])
    leaking = [
        {"text": "see http", "toxicity": "toxic"},
        {"text": f"{sentence}!", "toxicity": "clean"},
        {"text": ":-(", "sentiment": "positive"},
        {"text": "also in test", "toxicity": "toxic"},
    ]
    train = write(tmp_path / "train.jsonl", everything() + leaking)
    report = prepare([train], tmp_path / "out", dev=dev, test=test)
    assert texts(tmp_path / "out", "train") == [row["text"] for row in everything()]
    assert texts(tmp_path / "out", "dev") == ["See http", f"{sentence} DEV", ":-("]
    assert texts(tmp_path / "out", "test") == ["Also in TEST!"]
    reason = "equal to or near-duplicate of a held-out row"
    assert [(file["role"], file["dropped"]) for file in report["files"]] == [
        ("split", {reason: 4}),
        ("dev", {reason: 1}),
        ("test", {}),
    ]


def test_only_training_rows_without_a_label_are_assumed_clean(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", everything())
    report = prepare([file], tmp_path / "out", assume_clean=["reviews"], test_share=0)
    train, dev = (read_rows(tmp_path / "out" / f"{name}.jsonl.gz") for name in ("train", "dev"))
    reviews = [row for row in train if row.source == "reviews"]
    assert all(row.labels.get("toxicity") == "clean" for row in reviews)
    assert report["assumed_clean"] == {"sources": ["reviews"], "rows": len(reviews)}
    assert {row.labels.get("toxicity") for row in train if row.source == "forum"} == {"toxic", "clean"}
    assert not any("toxicity" in row.labels for row in dev if row.source == "reviews")
    assert not (tmp_path / "out" / "test.jsonl.gz").exists()


def test_languages_are_those_of_the_field_else_detected(tmp_path: Path) -> None:
    rows = everything()
    said = [row | {"language": "pt-BR" if number % 2 else "EN"} for number, row in enumerate(rows[:200])]
    languages = prepare([write(tmp_path / "a.jsonl", said)], tmp_path / "a")["languages"]
    assert languages == {"from": "the field language", "rows": 200, "shares": {"en": 0.5, "pt": 0.5}}

    pytest.importorskip("py3langid")
    german = [{"text": f"Das ist doch wirklich ein schöner Tag, Nummer {n}"} for n in range(40)]
    report = prepare(
        [write(tmp_path / "b.jsonl", [row | {"toxicity": "clean"} for row in german])], tmp_path / "b", dev_share=0.5
    )
    assert report["languages"]["shares"]["de"] > 0.9


def test_languages_are_not_invented_without_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.training.prepare_report.find_spec", lambda _: None)
    report = prepare([write(tmp_path / "a.jsonl", everything())], tmp_path / "out")
    assert report["languages"]["from"].startswith("not measured")
    assert report["languages"]["shares"] == {}


@pytest.mark.parametrize(
    ("text", "script"),
    [("hello", "Latin"), ("да, ok", "Cyrillic"), ("naïve", "Latin"), ("!? 12", "no letters"), ("…", "no letters")],
)
def test_the_script_of_a_text_is_that_of_most_of_its_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_what_cannot_be_learned_or_measured_is_a_warning(tmp_path: Path) -> None:
    rows = [*numbered(100, toxicity="toxic"), *numbered(1, sentiment="neutral"), *numbered(40, sentiment="positive")]
    report = prepare([write(tmp_path / "a.jsonl", rows)], tmp_path / "out", test_share=0)
    assert [warning.split(":")[0].split(",")[0] for warning in report["warnings"]] == [
        "Every toxicity label in train is toxic",
        "No row of dev has the sentiment label neutral",
    ]
    assert report["warnings"][0] in (tmp_path / "out" / "report.md").read_text()
