"""Adapters on a base: LoRA, from the weights and the few settings that change a score, and from nothing else."""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, set_peft_model_state_dict
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consumer.model.errors import ModelError, printable
from consumer.model.files import read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_LORA = re.compile(r"(.+)\.lora_(?:embedding_)?A(?:\.weight)?")
_PLAIN = r"^[\w.^$\\-]+$"  # without *, +, ? and { a pattern takes no longer than the name it is tried on

Pattern = dict[Annotated[str, Field(pattern=_PLAIN, max_length=300)], Annotated[int, Field(ge=1)]]


class AdapterSettings(BaseModel):
    """What an adapter_config.json says that changes a score. Where it is applied, the names of its weights say."""

    model_config = ConfigDict(frozen=True, strict=True)

    base_model_name_or_path: Annotated[str, Field(min_length=1, max_length=1000)]
    peft_type: Literal["LORA"]
    task_type: str | None = None
    r: Annotated[int, Field(ge=1)] = 8
    lora_alpha: Annotated[int | float, Field(gt=0, lt=1e6)] = 8
    use_rslora: bool = False
    use_dora: bool = False
    fan_in_fan_out: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"
    lora_bias: bool = False
    rank_pattern: Pattern | None = None
    alpha_pattern: Pattern | None = None
    modules_to_save: list[str] | None = None
    init_lora_weights: Literal[True, False, "gaussian", "orthogonal", "eva"] = True


_CHANGES_NO_SCORE = frozenset({
    # Where to apply it: the weights have names.
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    # How it was trained.
    "inference_mode", "lora_dropout", "loftq_config", "eva_config", "peft_version", "auto_mapping", "revision",
    "ensure_weight_tying", "runtime_config",
    # Of no effect unless something else is set, which is refused.
    "megatron_core", "qalora_group_size",
})  # fmt: skip


def read_settings(directory: Path, model: str) -> AdapterSettings | None:
    """Return the settings of the adapter in `directory`; None where there is none. Raises ModelError."""
    if not (directory / CONFIG).exists():
        return None
    content = read_json(directory / CONFIG, model)
    unknown = sorted(
        name
        for name, value in content.items()
        if value and name not in AdapterSettings.model_fields and name not in _CHANGES_NO_SCORE
    )
    try:
        if unknown:
            raise ValueError(f"{', '.join(unknown)} set")
        return AdapterSettings.model_validate(content)
    except ValueError as error:
        raise ModelError(
            f"the adapter {model} is not plain LoRA ({_what(error)} in {CONFIG}); "
            "merge it into its base with peft's merge_and_unload, save_pretrained the result, and give MODEL that"
        ) from None


def _what(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return printable(", ".join(sorted({str(problem["loc"][0]) for problem in error.errors()})))
    return printable(str(error))


def computing(settings: AdapterSettings) -> str:
    """Return what of the settings says how to compute, a part of the version; empty where all is as `train fit` has it.

    The rest is in the weights.
    """
    told = settings.model_dump(
        include={"use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern"}, exclude_defaults=True
    )
    told = {name: value for name, value in told.items() if value}
    if settings.lora_alpha != 2 * settings.r:
        told["scale"] = settings.lora_alpha / settings.r
    return json.dumps(told, sort_keys=True) if told else ""


def adapted(
    network: Any,
    missing: set[str],
    settings: AdapterSettings,
    weights: Mapping[str, torch.Tensor],
    model: str,
    *,
    trainable: bool = False,
) -> PeftModel:
    """Return `network`, which lacks the weights named `missing`, with the adapter on it. Raises ModelError."""
    own = {name.removeprefix(_PREFIX) for name in weights}
    if missing - own:
        raise ModelError(
            f"the adapter {model} lacks weights for {', '.join(sorted(missing - own)[:3])}: its head was "
            "not saved; train it again with modules_to_save"
        )
    ranks = {
        match[1].removeprefix(_PREFIX): tensor.shape[0]
        for name, tensor in weights.items()
        if (match := _LORA.fullmatch(name)) and tensor.ndim
    }
    wanted = {settings.r, *(settings.rank_pattern or {}).values()}
    if not ranks or max(wanted) > max(ranks.values()):
        raise ModelError(
            f"the adapter {model} has LoRA weights of rank {max(ranks.values(), default=0)}, "
            f"its {CONFIG} says {max(wanted)}; the two do not belong together, so save the adapter again"
        )
    config = LoraConfig(
        **settings.model_dump(exclude={"base_model_name_or_path", "peft_type", "task_type", "init_lora_weights"}),
        task_type=TaskType.SEQ_CLS if settings.task_type == "SEQ_CLS" else None,
        target_modules=sorted(ranks),
        inference_mode=not trainable,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = get_peft_model(network, config)
        loaded: Any = set_peft_model_state_dict(result, dict(weights))
    if half := [name for name in loaded.missing_keys if ".lora_" in name]:
        raise ModelError(
            f"the adapter {model} has half of its LoRA weights only ({printable(min(half))} is missing); save it again"
        )
    if unused := loaded.unexpected_keys:
        raise ModelError(
            f"the adapter {model} has weights that its base has no place for ({printable(min(unused))}); "
            f"correct base_model_name_or_path in its {CONFIG}"
        )
    return result
