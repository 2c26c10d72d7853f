"""The network that is trained: an encoder with a fresh head, or a model that goes on learning; whole or by LoRA."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from consumer.model.base import BASE_ID, base_directory
from consumer.model.errors import first_line
from consumer.model.load import BUNDLED, check_cleaning, model_directory, refuse_pickles
from consumer.training.data import LABELS
from consumer.training.errors import TrainingError
from consumer.training.saving import label_config
from consumer.training.targets import Target

Method = Literal["lora", "full"]

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)
_HEADS = ("pooler", "classifier", "score", "pre_classifier")


class Network(NamedTuple):
    """A model with its tokenizer; `base` names the encoder that an adapter belongs on, None for a whole model."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    base: str | None


def fresh(base: str, targets: Sequence[Target], method: Method, lora_rank: int) -> Network:
    """Return the encoder `base` ("bundled" or a directory) with a fresh head for `targets`. Raises TrainingError."""
    source = base_directory() if base == BUNDLED else Path(base).resolve()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        config = AutoConfig.from_pretrained(str(source), local_files_only=True)
        label_config(config, targets)
        if base == BUNDLED:
            config.languages = ["en"]  # the engine then says which texts are in another one
        model = _classifier(source, config)
    except _UNREADABLE as error:
        raise TrainingError(
            f"{source} is not an encoder to train: {first_line(error)}; "
            "give --base a directory with config.json, tokenizer.json and model.safetensors"
        ) from error
    if method == "full":
        return Network(model, tokenizer, None)
    return Network(
        get_peft_model(model, _lora(model, lora_rank)), tokenizer, BASE_ID if base == BUNDLED else str(source)
    )


def continued(model: str) -> Network:
    """Return the trained model `model` ("bundled" or a directory) as it is, to go on learning: an adapter stays one.

    Raises ModelError or TrainingError for a directory that is not such a model.
    """
    directory = model_directory(model)
    refuse_pickles([directory], model)
    try:
        config = AutoConfig.from_pretrained(str(directory), local_files_only=True)
        check_cleaning(config, model)
        if not (directory / "adapter_config.json").exists():
            tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
            return Network(_classifier(directory, config), tokenizer, None)
        base = LoraConfig.from_pretrained(str(directory)).base_model_name_or_path
        source = base_directory() if base == BASE_ID else Path(base)
        tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        adapted = PeftModel.from_pretrained(_classifier(source, config), str(directory), is_trainable=True)
        # By a directory, peft finds the base at every checkpoint without asking the Hub.
        adapted.peft_config["default"].base_model_name_or_path = str(source)
    except _UNREADABLE as error:
        raise TrainingError(f"{directory} is not a model to continue: {first_line(error)}") from error
    return Network(adapted.float(), tokenizer, base)


def groups_of(model: Any) -> list[str]:
    """Return the tag groups of a trained model. Raises TrainingError unless all of them are ours, in our order."""
    groups = list(getattr(model.config, "tag_groups", None) or {})
    if not groups or groups != [group for group in LABELS if group in groups]:
        raise TrainingError(
            "the model to continue was not trained by `moderate train fit`: its config.json names no tag_groups of "
            f"{', '.join(LABELS)}; train from its encoder with --base instead"
        )
    return groups


def _classifier(source: Path, config: Any) -> Any:
    config.attention_probs_dropout_prob = 0.0  # lets the fused attention kernel run: a tenth more rows per second
    return AutoModelForSequenceClassification.from_pretrained(
        str(source), config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )


def _lora(model: Any, rank: int) -> LoraConfig:
    """Adapt every linear layer of the encoder, and train the head, and a pooler, whole."""
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,  # a mask per adapted layer costs a third of the training time on a CPU
        target_modules="all-linear",
        exclude_modules=rf".*({'|'.join(_HEADS)}).*",
        modules_to_save=[name for name in _HEADS if name in present],
    )
