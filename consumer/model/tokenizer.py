"""The tokenizer of a model: one of transformers' own classes over the files of one directory."""

from pathlib import Path
from typing import Any

import transformers
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from consumer.model.errors import ModelError, printable
from consumer.model.files import read_json

_CONFIG = "tokenizer_config.json"


def read_tokenizer(directory: Path, config: PretrainedConfig, model: str) -> Any:
    """Return the tokenizer in `directory`. Raises ModelError, and whatever transformers raises for damaged files."""
    content = read_json(directory / _CONFIG, model) if (directory / _CONFIG).exists() else {}
    for name in (content.get("tokenizer_class"), getattr(config, "tokenizer_class", None)):
        # transformers looks the name up among all that it exports: a class of models would load the weights its way.
        found = getattr(transformers, name, None) if isinstance(name, str) else name
        if found is not None and not (isinstance(found, type) and issubclass(found, PreTrainedTokenizerBase)):
            raise ModelError(
                f"the model {model} names {printable(str(name))} as its tokenizer_class, which is no tokenizer; "
                "save its tokenizer again with save_pretrained"
            )
    files = content.get("fast_tokenizer_files") or []
    if content.get("gguf_file") or any(not isinstance(file, str) or file != Path(file).name for file in files):
        raise ModelError(
            f"the model {model} names files of other places in its {_CONFIG}; save its tokenizer again with "
            "save_pretrained"
        )
    return AutoTokenizer.from_pretrained(str(directory), config=config, local_files_only=True, trust_remote_code=False)
