"""The config.json of a model: its settings, without those that would have a library fetch, import or run something."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from consumer.model.errors import ModelError, printable
from consumer.model.files import INDEX, WEIGHTS, read_json

_QUANTIZED = ("quantization_config", "compression_config")
_NEVER_OBEYED = frozenset({
    # Kernels, downloaded and run: transformers then chooses its own, sdpa where the network has it.
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset",
    "experts_implementation", "_experts_implementation", "_experts_implementation_internal",
    "use_kernels", "kernel_config", "fusion_config",
    # Code that lies beside the weights, or anywhere.
    "auto_map", "custom_pipelines", "trust_remote_code",
    # Other files, other machines.
    "name_or_path", "_name_or_path", "_commit_hash", "gguf_file", "transformers_weights", "distributed_config",
    # What would come out of the network besides its logits, or in their place.
    "output_attentions", "output_hidden_states", "return_dict", "use_return_dict", "torchscript",
})  # fmt: skip
_COUNTED = re.compile(r"label|layer|block|group|expert|head|stage|depth")
_MOST_COUNTED = 10_000  # lists and modules of that many are made before any weight is looked at
_OTHERWISE_IN_VERSION = frozenset({
    # Weights of another shape would not fit.
    "hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "type_vocab_size", "max_position_embeddings",
    # What the logits mean is in the description of the tag groups.
    "id2label", "label2id", "num_labels", "tag_groups", "problem_type", "languages", "cleaning_version",
    # Who wrote it, and how it was trained.
    "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "gradient_checkpointing",
    "initializer_range", "finetuning_task", "tie_word_embeddings",
})  # fmt: skip
_AS_IN_BERT = {
    "model_type": "bert", "num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "position_embedding_type": "absolute", "chunk_size_feed_forward": 0,
    "is_decoder": False, "is_encoder_decoder": False, "add_cross_attention": False,
}  # fmt: skip


def read_config(path: Path, model: str) -> tuple[PretrainedConfig, str]:
    """Return the config in `path`, and what of it says how to compute and neither the weights nor the labels say: a
    part of the model's version, empty where all is as in BERT.

    Raises ModelError; for what transformers cannot make a config of, whatever transformers raises.
    """
    content = read_json(path, model)
    for name, value in _members(content):
        if name in _QUANTIZED and value is not None:
            raise ModelError(
                f"the model {model} has a {name}: quantized weights need code of other packages; "
                "give MODEL the model as it was before quantization, in fp32, fp16 or bf16"
            )
        if (
            isinstance(value, int | float)
            and value > _MOST_COUNTED
            and _COUNTED.search(name)
            and not name.endswith("_size")
        ):
            raise ModelError(
                f"the model {model} has {printable(name)} {printable(str(value)[:20])} in its config.json, more than "
                f"{_MOST_COUNTED:,}, which no such model has; download or save it again"
            )
    if content.get("transformers_weights") not in (None, WEIGHTS, INDEX):
        raise ModelError(
            f"the model {model} names other weights in its config.json (transformers_weights); call them {WEIGHTS}"
        )
    _check_labels(content, model)
    settings = _obeyed(content)
    kind = settings.pop("model_type", None)
    if not isinstance(kind, str):
        raise ModelError(f"the model {model} has no model_type in its config.json; save it again with save_pretrained")
    return AutoConfig.for_model(kind, **settings), _computing(settings | {"model_type": kind})


def _members(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every name and value in `content`, nested objects included."""
    for name, value in content.items():
        yield name, value
        if isinstance(value, dict):
            yield from _members(value)


def _obeyed(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _obeyed(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if name not in _NEVER_OBEYED
    }


def _check_labels(content: Mapping[str, Any], model: str) -> None:
    names = content.get("id2label")
    if names is None:
        return
    if not isinstance(names, dict) or sorted(names) != sorted(str(index) for index in range(len(names))):
        raise ModelError(
            f"the model {model} does not number the labels in its config.json 0, 1, 2 and so on (id2label), so a logit "
            "has no name; correct them there"
        )


def _computing(settings: Mapping[str, Any]) -> str:
    """BERT's own settings are left out, so that no version changes with what was not always a part of it."""
    told = {
        name: value
        for name, value in settings.items()
        if value is not None
        and name not in _OTHERWISE_IN_VERSION
        and "dropout" not in name
        and (name not in _AS_IN_BERT or _AS_IN_BERT[name] != value)
    }
    return json.dumps(told, sort_keys=True) if told else ""
