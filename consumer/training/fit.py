"""Fine-tuning an encoder for the tag groups of some labelled comments, with transformers' Trainer and LoRA."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from consumer.model.base import BASE_ID, base_directory
from consumer.model.device import cpu_has_bf16
from consumer.training.data import LABELS, Row
from consumer.training.errors import TrainingError
from consumer.training.package import label_config, write_model
from consumer.training.targets import Target, dev_metrics, encode, masked_loss, targets_of

MAX_TOKENS = 128
"""Longer texts are cut in training: attention is quadratic, and 99 of 100 comments are shorter."""

_HEADS = ("pooler", "classifier", "score", "pre_classifier")
_EVALUATIONS_PER_EPOCH = 2


@dataclass(frozen=True)
class FitOptions:
    """How to train; `base` is "bundled" or the directory of an encoder, `max_steps` ends earlier than `epochs`."""

    base: str = "bundled"
    epochs: int = 1
    max_steps: int | None = None
    learning_rate: float = 5e-4
    batch_size: int = 32
    lora_rank: int = 16
    class_weights: bool = False
    patience: int = 4
    seed: int = 42


def fit(train: Sequence[Row], dev: Sequence[Row], output: Path, options: FitOptions, *, resume: bool = False) -> Path:
    """Train on `train`, choose the best checkpoint on `dev`, write the model directory `output` and return it.

    Checkpoints and the CSV log of loss and metrics stand in `OUTPUT.work` beside it; with `resume` the last
    checkpoint there is continued. Raises TrainingError; `output` is only there once it is whole.
    """
    work = output.with_name(f"{output.name}.work")
    if output.exists():
        raise TrainingError(f"{output} exists already; remove it or choose another output directory")
    if not train or not dev:
        raise TrainingError(
            f"no {'dev' if train else 'training'} row is left after cleaning and, in training, after leaving out the "
            "texts of dev; give files of different rows"
        )
    checkpoint: str | None = None
    if resume and work.is_dir():
        checkpoint = get_last_checkpoint(str(work))  # type: ignore[no-untyped-call]
    if resume and checkpoint is None:
        raise TrainingError(f"there is no checkpoint in {work} to resume; leave --resume out")
    if not resume and work.exists():
        raise TrainingError(f"{work} holds an earlier run; add --resume to continue it, or remove it")
    set_seed(options.seed)
    targets = targets_of(train, class_weights=options.class_weights)
    tokenizer, model = _build(options, targets)
    steps_per_epoch = -(-len(train) // options.batch_size)
    trainer = Trainer(
        model=model,
        args=_arguments(options, work, steps_per_epoch),
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=_encoded(train, targets, tokenizer),
        eval_dataset=_encoded(dev, targets, tokenizer),
        processing_class=tokenizer,
        compute_loss_func=lambda outputs, labels, **_: masked_loss(outputs["logits"], labels, targets),
        compute_metrics=lambda prediction: dev_metrics(prediction, targets),
        callbacks=[EarlyStoppingCallback(options.patience), _CsvLog(work / "log.csv")],
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = {name: value for name, value in trainer.evaluate().items() if name.endswith("macro_f1")}
    # The Trainer holds the very model it was given, by now with the best checkpoint's weights.
    write_model(output, model, tokenizer if options.base != "bundled" else None, _provenance(options, train, metrics))
    return output


def _build(options: FitOptions, targets: Sequence[Target]) -> tuple[PreTrainedTokenizerBase, PeftModel]:
    """Return tokenizer and model: the encoder under LoRA, with a fresh head that is trained whole, as is a pooler."""
    source = base_directory() if options.base == "bundled" else Path(options.base)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        config = AutoConfig.from_pretrained(str(source), local_files_only=True)
        label_config(config, targets)
        model = AutoModelForSequenceClassification.from_pretrained(
            str(source), config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise TrainingError(f"{source} is not an encoder to train: {error}") from error
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=options.lora_rank,
        lora_alpha=2 * options.lora_rank,
        lora_dropout=0.05,
        target_modules="all-linear",
        exclude_modules=rf".*({'|'.join(_HEADS)}).*",
        modules_to_save=[name for name in _HEADS if name in present],
    )
    return tokenizer, cast("PeftModel", get_peft_model(model, lora))


def _arguments(options: FitOptions, work: Path, steps_per_epoch: int) -> TrainingArguments:
    steps = options.max_steps or options.epochs * steps_per_epoch
    evaluation_steps = max(1, min(steps, steps_per_epoch) // _EVALUATIONS_PER_EPOCH)
    return TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=2 * options.batch_size,
        learning_rate=options.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=steps // 16,
        weight_decay=0.01,
        bf16=cpu_has_bf16() or (torch.cuda.is_available() and torch.cuda.is_bf16_supported()),
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=evaluation_steps,
        save_steps=evaluation_steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=min(50, evaluation_steps),
        dataloader_pin_memory=torch.cuda.is_available(),
        label_names=["labels"],
        seed=options.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    )


def _encoded(
    rows: Sequence[Row], targets: Sequence[Target], tokenizer: Callable[..., Any]
) -> list[dict[str, list[int]]]:
    encoded = tokenizer([row.text for row in rows], truncation=True, max_length=MAX_TOKENS, padding=False)
    return [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": encode(row, targets)}
        for ids, row in zip(encoded["input_ids"], rows, strict=True)
    ]


def _provenance(options: FitOptions, train: Sequence[Row], metrics: dict[str, float]) -> dict[str, Any]:
    sources = sorted({row.source for row in train if row.source})
    return {
        "base": BASE_ID if options.base == "bundled" else options.base,
        "rows": len(train),
        "sources": sources,
        "seed": options.seed,
        "dev": {name.removeprefix("eval_"): round(value, 4) for name, value in metrics.items()},
    }


class _CsvLog(TrainerCallback):
    """Appends every log entry of the Trainer to one CSV file, which a spreadsheet or a plot can read."""

    _FIELDS = (
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "eval_loss",
        "eval_macro_f1",
        *(f"eval_{group}_macro_f1" for group in LABELS),
    )

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the Trainer names its arguments
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        entry = {"step": state.global_step, **(logs or {})}
        if not {"loss", "eval_loss"} & entry.keys():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self._FIELDS, extrasaction="ignore")
            if is_new:
                writer.writeheader()
            writer.writerow(entry)
