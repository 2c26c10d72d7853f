"""Fine-tuning an encoder for the tag groups of some labelled comments, with transformers' Trainer."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from consumer.model.cleaning import CLEANING_VERSION
from consumer.model.device import cpu_has_bf16
from consumer.model.source import BUNDLED
from consumer.training.data import Row
from consumer.training.errors import TrainingError
from consumer.training.log import Log, plot
from consumer.training.network import Method, Network, continued, fresh, groups_of
from consumer.training.saving import write_model
from consumer.training.targets import Target, dev_metrics, encode, masked_loss, targets_of

MAX_TOKENS = 128
"""Longer texts are cut in training: attention is quadratic, and 99 of 100 comments are shorter."""

DEFAULT_LEARNING_RATES: Mapping[Method, float] = {"lora": 5e-4, "full": 2e-5}
"""Full fine-tuning as in Devlin et al. 2019; a low-rank adapter takes a rate some ten times higher."""

_EVALUATIONS_PER_EPOCH = 2
_RUN_FILE = "run.sha256"

Guess = Callable[[Sequence[Row]], list[dict[str, dict[str, float]]]]
"""A teacher: scores by group and label for every row."""


@dataclass(frozen=True)
class FitOptions:
    """How to train. `base` is "bundled" (the encoder) or the directory of one; `continue_from` a trained model instead.

    `max_steps` ends earlier than `epochs`; `learning_rate` None is the method's own. `keep` "last" takes the weights at
    the end of the schedule, without early stopping, instead of those of the best checkpoint.
    """

    base: str = BUNDLED
    continue_from: str | None = None
    method: Method = "lora"
    epochs: int = 3
    max_steps: int | None = None
    learning_rate: float | None = None
    batch_size: int = 32
    lora_rank: int = 32
    class_weights: bool = False
    patience: int = 4
    keep: Literal["best", "last"] = "best"
    seed: int = 42
    tensorboard: bool = False


def fit(
    train: Sequence[Row],
    dev: Sequence[Row],
    output: Path,
    options: FitOptions,
    *,
    provenance: Mapping[str, Any] | None = None,
    teacher: Guess | None = None,
    resume: bool = False,
) -> dict[str, float]:
    """Train on `train`, choose the best checkpoint on `dev`, write the model directory `output`, return dev metrics.

    A `teacher` gives the labels that rows lack. Checkpoints and the log of loss and metrics (CSV, PNG) stand in
    `OUTPUT.work`; with `resume` the last checkpoint there is continued. Raises TrainingError; `output` is only there
    once it is whole.
    """
    output = output.absolute()  # "." has no name to put ".work" behind
    work = output.with_name(f"{output.name}.work")
    if not train or not dev:
        raise TrainingError(
            f"no {'dev' if train else 'training'} row is left after cleaning and, in training, after leaving out the "
            "texts of dev; give files of different rows"
        )
    identity = _identity(train, options, provenance or {})
    checkpoint = _checkpoint(output, work, identity, resume=resume)
    set_seed(options.seed)
    network, targets = _network(train, options)
    _require_labels(dev, targets)
    _begin(work, identity)
    guesses = teacher(train) if teacher else None
    trainer = Trainer(
        model=network.model,
        args=_arguments(options, _method(network), work, steps_per_epoch=-(-len(train) // options.batch_size)),
        data_collator=DataCollatorWithPadding(network.tokenizer),
        train_dataset=_encoded(train, targets, network.tokenizer, guesses),
        eval_dataset=_encoded(dev, targets, network.tokenizer, None),
        processing_class=network.tokenizer,
        compute_loss_func=lambda outputs, labels, **_: masked_loss(outputs["logits"], labels, targets),
        compute_metrics=lambda prediction: dev_metrics(prediction, targets, [row.source for row in dev]),
        callbacks=[
            Log(work / "log.csv"),
            *([EarlyStoppingCallback(options.patience)] if options.keep == "best" else []),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=checkpoint)
    if not all(bool(parameter.isfinite().all()) for parameter in network.model.parameters()):
        raise TrainingError(f"the training diverged: weights are not finite; lower --learning-rate and remove {work}")
    plot(work / "log.csv", work / "log.png")
    metrics = _kept_metrics(trainer.state, options)
    # The Trainer holds the very model it was given, by now with the weights to keep.
    facts = _provenance(network, options, train, metrics) | dict(provenance or {})
    write_model(output, network.model, network.tokenizer, network.base, facts, extra=[work / "log.csv"])
    return metrics


def _method(network: Network) -> Method:
    return "lora" if isinstance(network.model, PeftModel) else "full"


def _require_labels(dev: Sequence[Row], targets: Sequence[Target]) -> None:
    for target in targets:
        if not any(target.group in row.labels for row in dev):
            raise TrainingError(
                f"no dev row has a {target.group} label, so no checkpoint can be chosen; add some to it"
            )


def _kept_metrics(state: TrainerState, options: FitOptions) -> dict[str, float]:
    """Return dev macro-F1 per group at the step whose weights are kept."""
    step = state.best_global_step if options.keep == "best" else state.global_step
    entries = [entry for entry in state.log_history if entry["step"] == step and "eval_macro_f1" in entry]
    return {
        name.removeprefix("eval_"): round(value, 4)
        for name, value in (entries[-1] if entries else {}).items()
        if name.endswith("macro_f1")
    }


def _identity(train: Sequence[Row], options: FitOptions, provenance: Mapping[str, Any]) -> str:
    """Return a digest of what makes a run: a resumed one must go on with the same rows and options."""
    content = json.dumps([asdict(options), dict(provenance), [[row.text, row.labels] for row in train]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _checkpoint(output: Path, work: Path, identity: str, *, resume: bool) -> str | None:
    """Return the checkpoint to go on from, None for the beginning; refuse to mix runs and to overwrite a model."""
    if output.exists():
        raise TrainingError(f"{output} exists already; remove it or choose another output directory")
    checkpoint: str | None = None
    if work.is_dir():
        checkpoint = get_last_checkpoint(str(work))  # type: ignore[no-untyped-call]
    if resume and checkpoint is None:
        raise TrainingError(f"there is no checkpoint in {work} to resume; leave --resume out")
    if work.exists() and not resume:
        advice = "add --resume to continue it, or remove it" if checkpoint else "remove it: it has no checkpoint yet"
        raise TrainingError(f"{work} holds an earlier run; {advice}")
    if resume and (not (work / _RUN_FILE).is_file() or (work / _RUN_FILE).read_text() != identity):
        raise TrainingError(f"{work} is a run with other rows or options; repeat them exactly, or remove {work}")
    return checkpoint


def _begin(work: Path, identity: str) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / _RUN_FILE).write_text(identity)
    except OSError as error:
        raise TrainingError(f"{work} cannot be written: {error.strerror}; choose another output directory") from error


def _network(train: Sequence[Row], options: FitOptions) -> tuple[Network, list[Target]]:
    if options.continue_from is None:
        targets = targets_of(train, class_weights=options.class_weights)
        return fresh(options.base, targets, options.method, options.lora_rank), targets
    network = continued(options.continue_from)
    groups = groups_of(network.model)
    targets = targets_of(train, class_weights=options.class_weights, groups=groups)
    if [target.group for target in targets] != groups:
        raise TrainingError(
            f"the rows have labels of {', '.join(target.group for target in targets)}, the model "
            f"{options.continue_from} knows {', '.join(groups)}; train a new one with --base, not --continue-from"
        )
    return network, targets


def _arguments(options: FitOptions, method: Method, work: Path, steps_per_epoch: int) -> TrainingArguments:
    steps = min(options.max_steps or options.epochs * steps_per_epoch, options.epochs * steps_per_epoch)
    evaluation_steps = max(1, min(steps, steps_per_epoch) // _EVALUATIONS_PER_EPOCH)
    return TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=2 * options.batch_size,
        learning_rate=options.learning_rate or DEFAULT_LEARNING_RATES[method],
        adam_epsilon=1e-8,
        lr_scheduler_type="linear",
        warmup_steps=steps // 16,
        weight_decay=0.01,
        bf16=cpu_has_bf16() or (torch.cuda.is_available() and torch.cuda.is_bf16_supported()),
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=evaluation_steps,
        save_steps=evaluation_steps,
        save_total_limit=2,
        load_best_model_at_end=options.keep == "best",
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=min(50, evaluation_steps),
        dataloader_pin_memory=torch.cuda.is_available(),
        label_names=["labels"],
        seed=options.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to="tensorboard" if options.tensorboard else "none",
    )


def _encoded(
    rows: Sequence[Row],
    targets: Sequence[Target],
    tokenizer: PreTrainedTokenizerBase,
    guesses: Sequence[dict[str, dict[str, float]]] | None,
) -> list[dict[str, Any]]:
    limit = min(MAX_TOKENS, tokenizer.model_max_length)
    encoded = tokenizer([row.text for row in rows], truncation=True, max_length=limit, padding=False)
    return [
        {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": encode(row, targets, guesses[index] if guesses else None),
        }
        for index, (ids, row) in enumerate(zip(encoded["input_ids"], rows, strict=True))
    ]


def _provenance(
    network: Network, options: FitOptions, train: Sequence[Row], metrics: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "base": network.base or options.continue_from or options.base,
        "options": asdict(options) | {"method": _method(network)},
        "rows_per_epoch": len(train),
        "cleaning_version": CLEANING_VERSION,
        "dev": dict(metrics),
    }
