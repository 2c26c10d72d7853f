"""Writing a trained model as a directory the stream loads."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from consumer.model.cleaning import CLEANING_VERSION
from consumer.training.targets import Target


def label_config(config: PretrainedConfig, targets: Sequence[Target]) -> None:
    """Describe the targets in `config`: the names of the logits, and the tag groups in the order of the logits."""
    names: list[str] = []
    groups: dict[str, dict[str, Any]] = {}
    for target in targets:
        if target.is_sigmoid:
            complement, label = target.labels
            groups[target.group] = {"labels": [label], "complement": complement, "activation": "sigmoid"}
        else:
            groups[target.group] = {"labels": list(target.labels), "activation": "softmax"}
        names += groups[target.group]["labels"]
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    config.tag_groups = groups
    config.cleaning_version = CLEANING_VERSION
    config.architectures = None  # set by saving; the base's own would name the encoder without a head


def write_model(
    output: Path, model: PeftModel, tokenizer: PreTrainedTokenizerBase | None, provenance: dict[str, Any]
) -> None:
    """Write the adapter, config, training.json and, if given, the tokenizer; `output` appears whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        # The base is a local directory until here, because peft asks the Hub about any other name.
        model.save_pretrained(str(partial), save_embedding_layers=False)
        _name_base(partial / "adapter_config.json", provenance["base"])
        network: Any = model.get_base_model()
        config = network.config
        config.architectures = [type(network).__name__]
        config.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
        (partial / "training.json").write_text(json.dumps(provenance, indent=2) + "\n")
        (partial / "README.md").write_text(_card(provenance))
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors writes for its owner only; another user may serve the model
        partial.chmod(0o755)
        partial.rename(output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _name_base(path: Path, base: str) -> None:
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = base
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _card(provenance: dict[str, Any]) -> str:
    dev = "\n".join(f"* {name}: {value:.3f}" for name, value in provenance["dev"].items())
    return f"""---
base_model: {provenance["base"]}
library_name: peft
pipeline_tag: text-classification
---

# Comment tags

A LoRA adapter with a classification head, trained on {provenance["rows"]} labelled comments
({", ".join(provenance["sources"]) or "source not given"}). Macro-F1 on the dev rows it was chosen by:

{dev}

Check the terms of the training texts before you share this model.
"""
