"""The files of a model directory that somebody else made: which of them are read, and only after a look at them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file

from consumer.model.errors import ModelError, printable

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_MOST_JSON_BYTES = 10_000_000  # an index of a hundred thousand tensors; a config.json has 2 kB
_MOST_TOKENIZER_BYTES = 300_000_000  # the largest vocabularies that are in use take 35 MB
_SMALL = frozenset({
    "config.json", "adapter_config.json", "calibration.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", INDEX,
})  # fmt: skip
_VOCABULARIES = ("tokenizer.", "vocab", "merges", "spiece", "sentencepiece", "tekken")
_TEMPLATES = "additional_chat_templates"  # the one subdirectory that a tokenizer opens


def check_directory(directory: Path, model: str) -> None:
    """Raise ModelError for what could stop or mislead a reader of the files in `directory`: a pipe, a link to a file
    outside it, one far larger than its kind. Files of weights may have any size.

    Outside is allowed where the Hugging Face cache keeps the files of a snapshot.
    """
    homes = _homes(directory.resolve())
    for path in [*directory.iterdir(), *directory.glob(f"{_TEMPLATES}/*")]:
        name = printable(str(path.relative_to(directory)))
        target = path.resolve()
        if target.is_dir():
            continue  # not descended into; where a file should be, opening it fails
        if not any(target.is_relative_to(home) for home in homes):
            raise ModelError(f"the model {model} has {name}, a link to outside its directory; copy the file into it")
        if not target.is_file():
            raise ModelError(f"the model {model} has {name}, which is not a regular file; remove it")
        if target.stat().st_size > _most_bytes(path.name):
            raise ModelError(
                f"the model {model} has {name} of {target.stat().st_size:,} bytes, more than such a file can need; "
                "download or save the model again"
            )


def _homes(directory: Path) -> list[Path]:
    """Return where the files of `directory` may lie. The cache has `models--OWNER--NAME/snapshots/COMMIT`, with links
    into the `blobs` beside `snapshots`, and since huggingface_hub 2 from there into those of all models.
    """
    repository = directory.parent.parent
    if directory.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return [directory]
    return [directory, repository / "blobs", repository.parent / "blobs"]


def _most_bytes(name: str) -> float:
    if name in _SMALL:
        return _MOST_JSON_BYTES
    return _MOST_TOKENIZER_BYTES if name.startswith(_VOCABULARIES) else float("inf")


def read_json(path: Path, model: str) -> dict[str, Any]:
    """Return the JSON object in `path`. Raises ModelError for anything else, NaN and Infinity too."""
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise TypeError("it holds no object")
    except FileNotFoundError:
        raise ModelError(
            f"the model {model} cannot be loaded: {path} is missing; "
            "a directory saved by save_pretrained has config.json, tokenizer.json and model.safetensors"
        ) from None
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"the model {model} cannot be loaded: {path} is not JSON in UTF-8 ({printable(str(error))}); "
            "download or save the model again"
        ) from None
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def weight_files(directory: Path, model: str) -> list[Path]:
    """Return the files that hold the weights of a whole model: one, or those its index names. Raises ModelError."""
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if not (directory / INDEX).is_file():
        raise ModelError(
            f"the model {model} has no safetensors weights in {directory}, and pickled ones (.bin, .pt) could run "
            "code when they are read; save it again with save_pretrained"
        )
    shards = read_json(directory / INDEX, model).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ModelError(f"the model {model} has an {INDEX} without a weight_map; download or save the model again")
    return [_shard(directory, name, model) for name in sorted(set(shards.values()))]


def _shard(directory: Path, name: str, model: str) -> Path:
    if name != Path(name).name or not name.endswith(".safetensors"):
        raise ModelError(
            f"the model {model} names {printable(name)} in {INDEX}; "
            "weights are read only from .safetensors files in the model's directory, so save the model again"
        )
    if not (directory / name).is_file():
        raise ModelError(f"the model {model} lacks {printable(name)}, which {INDEX} names; download the model again")
    return directory / name


def read_weights(files: Iterable[Path], model: str) -> dict[str, torch.Tensor]:
    """Return all tensors of `files`, mapped into memory. Raises ModelError for one that two files hold."""
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        found = load_file(path)
        if twice := tensors.keys() & found.keys():
            raise ModelError(
                f"the model {model} has {printable(min(twice))} in two files of weights; download the model again"
            )
        tensors |= found
    return tensors
