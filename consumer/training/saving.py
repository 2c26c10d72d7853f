"""Writing a trained model as a directory the stream loads."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from consumer.model.base import BASE_ID
from consumer.model.cleaning import CLEANING_VERSION
from consumer.training.targets import Target
from consumer.training.whole import whole_or_nothing

PROVENANCE_FILE = "training.json"


def label_config(config: PretrainedConfig, targets: Sequence[Target]) -> None:
    """Describe the targets in `config`: the names of the logits, and the tag groups. Saving sorts those by name."""
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
    output: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    base: str | None,
    provenance: dict[str, Any],
    extra: Sequence[Path] = (),
) -> None:
    """Write weights (an adapter on `base`, or all of them), config, tokenizer and training.json; whole or not at all.

    An adapter is written in fp16: half the bytes, and its rounding is a thousandth of what bf16 costs when it runs.
    The tokenizer of the public encoder is left to its package. `extra` files are copied in.
    """
    with whole_or_nothing(output) as partial:
        if isinstance(model, PeftModel):
            network: Any = model.get_base_model()
            # The base is a local directory until here, because peft asks the Hub about any other name.
            model.half()
            model.save_pretrained(str(partial), save_embedding_layers=False)
            _name_base(partial / "adapter_config.json", str(base))
            network.config.architectures = [type(network).__name__]
            network.config.dtype = "float32"
            network.config.save_pretrained(partial)
        else:
            model.save_pretrained(partial)
        if base != BASE_ID:
            tokenizer.save_pretrained(partial)
        (partial / "README.md").unlink(missing_ok=True)  # peft's is a form to fill in; `package` writes the card
        for file in extra:
            shutil.copy(file, partial / file.name)
        (partial / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=2) + "\n")


def _name_base(path: Path, base: str) -> None:
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = base
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
