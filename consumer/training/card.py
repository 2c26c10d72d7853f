"""The model card: README.md of a packaged model, in the Hugging Face Hub's format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from consumer.model.calibration import Calibration

_TASK = "text-classification"


def model_card(
    name: str,
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
    calibration: Calibration,
    languages: list[str],
) -> str:
    """Return the card of a model: `facts` are its training.json, `metrics` the report of `moderate train evaluate`."""
    data = ModelCardData(
        language=languages or None,
        license="other",
        license_name="see-training-texts",
        base_model=facts.get("base"),
        pipeline_tag=_TASK,
        tags=["content-moderation", "sentiment-analysis", "toxicity"],
        model_name=name,
        eval_results=_results(metrics) if metrics else None,
    )
    parts = [f"---\n{data.to_yaml()}\n---", f"# {name}", _what(facts), _data(facts)]
    parts += [_quality(metrics)] if metrics else ["## Quality\n\nNot measured yet: `moderate train evaluate`."]
    parts += [_decisions(calibration), _limits()]
    return "\n\n".join(parts) + "\n"


def _results(metrics: Mapping[str, Any]) -> list[EvalResult]:
    file = Path(metrics["data"]["file"]).name
    return [
        EvalResult(
            task_type=_TASK,
            dataset_type="labelled-comments",
            dataset_name=f"{file}, {group}",
            dataset_config=group,
            metric_type=metric,
            metric_value=round(value, 4),
        )
        for group, measured in metrics["groups"].items()
        for metric, value in (("accuracy", measured["accuracy"]), ("f1", measured["macro"]["f1"]))
    ]


def _what(facts: Mapping[str, Any]) -> str:
    options = facts.get("options", {})
    return (
        "Tags one comment per call with the tag groups named in `config.json` (`tag_groups`): which logits belong to "
        "which group, and whether they compete (softmax) or stand alone (sigmoid). "
        f"Trained from `{facts.get('base')}`, method `{options.get('method', 'unknown')}`, "
        f"seed {options.get('seed', 'unknown')}. Its texts were cleaned by version {facts.get('cleaning_version')} of "
        "the stream's cleaning; new ones must be too.\n\nRun it with `MODEL=<this directory> moderate run`."
    )


def _data(facts: Mapping[str, Any]) -> str:
    sources = facts.get("rows_by_source", {})
    lines = ["## Training data", "", "| source | rows |", "|---|---|"]
    lines += [f"| {source or 'not named'} | {rows:,} |" for source, rows in sorted(sources.items())]
    for file in facts.get("files", []):
        digest = f", sha256 `{file['sha256']}`" if "sha256" in file else ""
        lines.append(f"\nFile `{Path(file['path']).name}`{digest}.")
    if "continues" in facts:
        lines.append("\nIt continues a model whose own training data `training.json` lists under `continues`.")
    lines.append("\n**Check the terms of these texts before you share this model or use it in a product.**")
    return "\n".join(lines)


def _quality(metrics: Mapping[str, Any]) -> str:
    lines = [
        "## Quality",
        "",
        f"On {metrics['data']['rows']:,} rows of `{Path(metrics['data']['file']).name}`, through the engine that "
        f"serves it (version `{metrics['model']['version']}`). In brackets: 95 % bootstrap intervals.",
        "",
        "| tag group | rows | accuracy | macro-F1 | macro-recall | calibration error |",
        "|---|---|---|---|---|---|",
    ]
    for group, measured in metrics["groups"].items():
        figures = [
            _with_interval(measured["accuracy"], measured["intervals"]["accuracy"]),
            _with_interval(measured["macro"]["f1"], measured["intervals"]["macro_f1"]),
            _with_interval(measured["macro"]["recall"], measured["intervals"]["macro_recall"]),
            f"{measured['calibration']['ece']:.3f}",
        ]
        lines.append(f"| {group} | {measured['rows']:,} | {' | '.join(figures)} |")
    templates = metrics.get("bias", {}).get("templates")
    if templates:
        lines.append(
            f"\nIdentity templates (all of them clean): {templates['false_positive_rate']:.1%} would be reviewed; the "
            f"mean toxic score differs by up to {templates['spread']:.2f} between groups of people."
        )
    return "\n".join(lines)


def _with_interval(value: float, interval: list[float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _decisions(calibration: Calibration) -> str:
    lines = ["## Scores and thresholds", ""]
    for group, temperature in calibration.temperatures.items():
        lines.append(f"* `{group}`: temperature {temperature:.2f}, offset {calibration.offsets.get(group, 0.0):.2f}")
    for action, thresholds in (("review", calibration.review), ("reject", calibration.reject)):
        lines += [f"* {action} `{name}` at or above {score}" for name, score in thresholds.items()]
    return "\n".join(lines) if len(lines) > 2 else "\n".join([*lines, "Not calibrated: `moderate train calibrate`."])


def _limits() -> str:
    return (
        "## Limits\n\nIt knows what its training texts show, their time, their dialects and their prejudices included. "
        "Let a person decide what is rejected for good, and measure it on comments of your own site first."
    )
