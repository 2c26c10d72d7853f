"""The network that is trained: an encoder with a fresh head, or a model that goes on learning; whole or by LoRA."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from peft import LoraConfig, TaskType, get_peft_model
from transformers import PreTrainedTokenizerBase

from consumer.model.base import BASE_ID, base_directory
from consumer.model.errors import ModelError, first_line
from consumer.model.files import check_directory
from consumer.model.load import check_cleaning, refuse_missing
from consumer.model.source import BUNDLED, Source, find
from consumer.training.data import LABELS
from consumer.training.errors import TrainingError
from consumer.training.saving import label_config
from consumer.training.targets import Target

Method = Literal["lora", "full"]

_ATTENTION_DROPOUT = 0.0  # lets the fused attention kernel run: a tenth more rows per second
_IN_A_LAYER = re.compile(r"\.\d+\.")  # a head that is still to be trained has none
_HEADS = ("pooler", "classifier", "score", "pre_classifier")


class Network(NamedTuple):
    """A model with its tokenizer; `base` names the encoder that an adapter belongs on, None for a whole model."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    base: str | None


def fresh(base: str, targets: Sequence[Target], method: Method, lora_rank: int) -> Network:
    """Return the encoder `base` ("bundled" or a directory) with a fresh head for `targets`.

    Raises TrainingError, and ModelError where the bundled encoder is missing.
    """
    directory = base_directory() if base == BUNDLED else Path(base).resolve()
    try:
        check_directory(directory, base)
        source = Source(base, directory)
        config, _ = source.config()
        tokenizer = source.tokenizer(config)
        label_config(config, targets)
        if base == BUNDLED:
            config.languages = ["en"]  # the engine then says which texts are in another one
        config.attention_probs_dropout_prob = _ATTENTION_DROPOUT
        model, info = source.network(config)
    except ModelError as error:
        raise TrainingError(f"{directory} is not an encoder to train: {error}") from error
    except Exception as error:  # a stranger's files may make a library raise anything
        raise TrainingError(
            f"{directory} is not an encoder to train: {first_line(error)}; "
            "give --base a directory with config.json, tokenizer.json and model.safetensors"
        ) from error
    if layers := sorted(name for name in info["missing_keys"] if _IN_A_LAYER.search(name)):
        raise TrainingError(
            f"{directory} lacks weights of the layers that its config.json describes ({layers[0]}), which would stay "
            "random; download or save it again"
        )
    if method == "full":
        return Network(model, tokenizer, None)
    adapted = _with_base(get_peft_model(model, _lora(model, lora_rank)), directory)
    return Network(adapted, tokenizer, BASE_ID if base == BUNDLED else str(directory))


def continued(model: str) -> Network:
    """Return the trained model `model` ("bundled" or a directory) as it is, to go on learning: an adapter stays one.

    Raises ModelError or TrainingError for a directory that is not such a model.
    """
    source = find(model)
    try:
        config, _ = source.config()
        check_cleaning(config, model)
        tokenizer = source.tokenizer(config)
        config.attention_probs_dropout_prob = _ATTENTION_DROPOUT
        network, info = source.network(config, trainable=True)
    except ModelError:
        raise
    except Exception as error:  # a stranger's files may make a library raise anything
        raise TrainingError(f"{source.directory} is not a model to continue: {first_line(error)}") from error
    if source.settings is None or source.base is None:
        refuse_missing(info, model)
        return Network(network, tokenizer, None)
    return Network(_with_base(network.float(), source.base), tokenizer, source.settings.base_model_name_or_path)


def _with_base(adapted: Any, base: Path) -> Any:
    """Name the base by its directory: peft then finds it at every checkpoint without asking the Hub."""
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    return adapted


def groups_of(model: Any) -> list[str]:
    """Return the tag groups of a trained model. Raises TrainingError unless all of them are ours, in our order."""
    groups = list(getattr(model.config, "tag_groups", None) or {})
    if not groups or groups != [group for group in LABELS if group in groups]:
        raise TrainingError(
            "the model to continue was not trained by `moderate train fit`: its config.json names no tag_groups of "
            f"{', '.join(LABELS)}; train from its encoder with --base instead"
        )
    return groups


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
