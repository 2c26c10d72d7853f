"""Where a model lies on this machine, and its parts as they are read from there. Nothing is downloaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub.constants
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from transformers import PretrainedConfig

from consumer.model import adapter
from consumer.model.adapter import AdapterSettings
from consumer.model.base import BASE_ID, base_directory
from consumer.model.config import read_config
from consumer.model.errors import ModelError, printable
from consumer.model.files import check_directory, read_weights, weight_files
from consumer.model.network import network_of
from consumer.model.tokenizer import read_tokenizer

BUNDLED = "bundled"

_BUNDLED_DIRECTORY = Path(__file__).parent / "bundled"

# The second wall: local_files_only is not handed on everywhere in transformers and peft (transformers issues 18385,
# 45545, peft issue 1452). With this no request leaves the process, whoever makes it.
huggingface_hub.constants.HF_HUB_OFFLINE = True


@dataclass(frozen=True)
class Source:
    """The directory of a model, and for an adapter its settings and the directory of its base."""

    model: str
    directory: Path
    settings: AdapterSettings | None = None
    base: Path | None = None

    def weight_files(self) -> list[Path]:
        """Return every file of weights that is read: of the adapter, then of the base. Raises ModelError."""
        if self.base is None:
            return weight_files(self.directory, self.model)
        own = self.directory / adapter.WEIGHTS
        if not own.is_file():
            raise ModelError(
                f"the adapter {self.model} has no {adapter.WEIGHTS}, and pickled weights (.bin) could run code when "
                "they are read; save it again with save_pretrained"
            )
        return [own, *weight_files(self.base, self.model)]

    def config(self) -> tuple[PretrainedConfig, str]:
        """Return the config, and what of it and of the adapter's belongs into the version. Raises ModelError."""
        config, told = read_config(self._with("config.json") / "config.json", self.model)
        return config, told + (adapter.computing(self.settings) if self.settings else "")

    def tokenizer(self, config: PretrainedConfig) -> Any:
        """Return the tokenizer. Raises ModelError, and whatever transformers raises."""
        return read_tokenizer(self._with("tokenizer.json"), config, self.model)

    def network(self, config: PretrainedConfig, *, trainable: bool = False) -> tuple[Any, dict[str, Any]]:
        """Return the network in fp32, an adapter not merged, and what transformers says of missing and unused weights.

        Raises ModelError, and whatever transformers, peft and safetensors raise.
        """
        files = self.weight_files()
        if self.settings is None:
            return network_of(config, read_weights(files, self.model), self.model)
        network, info = network_of(config, read_weights(files[1:], self.model), self.model)
        own = read_weights(files[:1], self.model)
        missing = set(info["missing_keys"])
        return adapter.adapted(network, missing, self.settings, own, self.model, trainable=trainable), info

    def _with(self, name: str) -> Path:
        """Return the directory that holds the file `name`: an adapter may leave it to its base."""
        return self.base if self.base and not (self.directory / name).exists() else self.directory


def find(model: str) -> Source:
    """Return where `model` lies: "bundled", a directory, or a Hub id in the local cache. Raises ModelError for what is
    not there, and for directories that are not to be read.
    """
    directory = _BUNDLED_DIRECTORY if model == BUNDLED else _directory(model)
    if directory is None:
        raise ModelError(
            f'MODEL names "{model}", which is neither "bundled", a directory nor a model in the local Hugging Face '
            f"cache; nothing is downloaded at run time: run hf download {model} first"
        )
    check_directory(directory, model)
    settings = adapter.read_settings(directory, model)
    base = _base(settings.base_model_name_or_path, model) if settings else None
    source = Source(model, directory, settings, base)
    source.weight_files()  # where they lack, that is what to say first
    return source


def _base(name: str, model: str) -> Path:
    directory = base_directory() if name == BASE_ID else _directory(name)
    if directory is None:
        raise ModelError(
            f'the adapter {model} belongs on "{printable(name)}", which is neither a directory nor a model in the '
            "local Hugging Face cache; nothing is downloaded at run time: put its base there, or correct "
            f"base_model_name_or_path in {adapter.CONFIG}"
        )
    check_directory(directory, model)
    if (directory / adapter.CONFIG).exists():
        raise ModelError(
            f'the adapter {model} belongs on "{printable(name)}", which is an adapter itself; '
            "merge that into its base with: moderate train package --merge"
        )
    return directory


def _directory(name: str) -> Path | None:
    try:
        return Path(name) if Path(name).is_dir() else Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
