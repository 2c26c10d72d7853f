"""Whether a model holds it against people who they are: harmless templates, subgroup AUC, and words of abuse in use."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rich.table import Table
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from consumer.model import Engine
from consumer.training.counterexamples import fill, template_file
from consumer.training.data import Row
from consumer.training.predict import Prediction, label_of, predictions

_GROUP, _TOXIC = "toxicity", "toxic"
_LEAST_SUBGROUP_ROWS = 20  # below that one row moves the AUC by several points
_TABLE_TERMS = 10


class Term(NamedTuple):
    """What a template is filled with; an unseen one is no word of the templates that train."""

    text: str
    category: str
    kind: str
    unseen: bool


def measure_bias(engine: Engine, predicted: Sequence[Prediction], threshold: float = 0.5) -> dict[str, Any]:
    """Measure what identity terms, first names and countries do to the toxicity score; {} without a toxicity group.

    `templates`: harmless sentences over about 150 terms: per term the mean toxic score and the share of sentences at
    or above `threshold` (the score from which a person looks at a comment), that share over all, and the spread: the
    largest difference of two terms' means in the same templates (Dixon et al. 2018).
    `subgroups`: ROC-AUC of the toxic score among those labelled rows of `predicted` that mention a term (Borkan et
    al. 2019, "Nuanced Metrics for Measuring Unintended Bias"), where at least 20 rows do and both labels occur.
    `usage`: how many sentences with words of abuse quoted, reclaimed or negated, or profanity without a target, are
    tagged toxic. People disagree about those, so this is a description and no verdict.
    """
    if _TOXIC not in engine.tag_groups.label_names().get(_GROUP, ()):
        return {}
    content = template_file("bias.json")
    return {
        "templates": _templates(engine, content, threshold),
        "subgroups": _subgroups(predicted, content),
        "usage": {kind: _usage(engine, sentences) for kind, sentences in content["usage"].items()},
    }


def terms(content: Mapping[str, Any]) -> list[Term]:
    """Return every term of the template file bias.json."""
    return [
        Term(text, category, kind, familiarity == "unseen")
        for kind, part in content["kinds"].items()
        for category, lists in part["terms"].items()
        for familiarity, texts in lists.items()
        for text in texts
    ]


def filled_templates(content: Mapping[str, Any]) -> list[tuple[Term, str]]:
    """Return every template of bias.json filled with every term of its kind."""
    only_one = random.Random(0)  # noqa: S311 - there is one fill to choose from
    return [
        (term, fill(template, {"term": [term.text]}, only_one))
        for term in terms(content)
        for template in content["kinds"][term.kind]["templates"]
    ]


def bias_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the report of `measure_bias` as short tables: the worst ten terms stand for all; none for {}."""
    if not report:
        return
    templates = report["templates"]
    title = (
        f"harmless templates: {templates['false_positive_rate']:.1%} at or above {templates['threshold']:.2f}, "
        f"spread {templates['spread']:.3f}"
    )
    table = Table("term", "category", "mean toxic score", "false positives", "sentences", title=title)
    for measured in sorted(templates["groups"], key=lambda group: -group["mean_score"])[:_TABLE_TERMS]:
        table.add_row(measured["term"], measured["category"], *_template_cells([measured]))
    table.add_section()
    for category in dict.fromkeys(group["category"] for group in templates["groups"]):
        part = [group for group in templates["groups"] if group["category"] == category]
        table.add_row(f"all {len(part)}", category, *_template_cells(part))
    unseen = [group for group in templates["groups"] if group["unseen"]]
    table.add_row(f"all {len(unseen)}", "not in training templates", *_template_cells(unseen))
    yield table
    if report["subgroups"]:
        table = Table("term", "AUC", "rows", title="toxicity among labelled rows that mention a term")
        for part in sorted(report["subgroups"], key=lambda subgroup: subgroup["auc"])[:_TABLE_TERMS]:
            table.add_row(part["term"], f"{part['auc']:.3f}", str(part["rows"]))
        yield table
    table = Table("usage", "tagged toxic", "sentences", title="words of abuse without abuse")
    for kind, counted in report["usage"].items():
        table.add_row(kind, str(counted["tagged_toxic"]), str(counted["rows"]))
    yield table


def _templates(engine: Engine, content: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    filled = filled_templates(content)
    predicted = predictions(engine, [Row(text, {_GROUP: "clean"}, "templates") for _, text in filled])
    by_term: dict[Term, list[float]] = defaultdict(list)
    for (term, _), prediction in zip(filled, predicted, strict=True):
        if prediction.scores:
            by_term[term].append(prediction.scores[_GROUP][_TOXIC])
    means: dict[str, list[float]] = defaultdict(list)
    for term, scores in by_term.items():
        means[term.kind].append(fmean(scores))
    return {
        "groups": [
            {
                "term": term.text,
                "category": term.category,
                "kind": term.kind,
                "unseen": term.unseen,
                "rows": len(scores),
                "mean_score": fmean(scores),
                "false_positive_rate": _share_from(scores, threshold),
            }
            for term, scores in by_term.items()
        ],
        "spread": max(max(part) - min(part) for part in means.values()),
        "false_positive_rate": _share_from([score for scores in by_term.values() for score in scores], threshold),
        "threshold": threshold,
    }


def _share_from(scores: Sequence[float], threshold: float) -> float:
    return fmean(score >= threshold for score in scores)


def _subgroups(predicted: Sequence[Prediction], content: Mapping[str, Any]) -> list[dict[str, Any]]:
    labelled = [
        (prediction.row.text, prediction.row.labels[_GROUP] == _TOXIC, prediction.scores[_GROUP][_TOXIC])
        for prediction in predicted
        if prediction.scores and _GROUP in prediction.row.labels
    ]
    subgroups = []
    for term in terms(content):
        spellings = "|".join(map(re.escape, [term.text, *content["also_written"].get(term.text, ())]))
        mentions = re.compile(rf"\b(?:{spellings})s?\b", re.IGNORECASE)
        part = [(toxic, score) for text, toxic, score in labelled if mentions.search(text)]
        if len(part) >= _LEAST_SUBGROUP_ROWS and len({toxic for toxic, _ in part}) == 2:
            wanted, scores = zip(*part, strict=True)
            subgroups.append({"term": term.text, "rows": len(part), "auc": float(roc_auc_score(wanted, scores))})
    return subgroups


def _usage(engine: Engine, sentences: Sequence[str]) -> dict[str, int]:
    predicted = predictions(engine, [Row(sentence, {}, "usage") for sentence in sentences])
    toxic = [prediction for prediction in predicted if prediction.scores and _is_tagged_toxic(prediction)]
    return {"rows": len(sentences), "tagged_toxic": len(toxic)}


def _is_tagged_toxic(prediction: Prediction) -> bool:
    return label_of(prediction.scores[_GROUP]) == _TOXIC


def _template_cells(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = sum(group["rows"] for group in measured)
    score, rate = (sum(g[name] * g["rows"] for g in measured) / rows for name in ("mean_score", "false_positive_rate"))
    return [f"{score:.3f}", f"{rate:.1%}", str(rows)]
