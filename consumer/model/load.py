"""Loading a model: the bundled one, a directory, or what is in the local Hugging Face cache. Nothing is downloaded."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from consumer.answer import ModelPass
from consumer.model.backend import prepare
from consumer.model.base import BASE_ID, base_directory
from consumer.model.calibration import Calibration, read_calibration
from consumer.model.cleaning import CLEANING_VERSION
from consumer.model.device import choose_device, choose_dtype
from consumer.model.doubt import LANGUAGE, with_language
from consumer.model.engine import Engine
from consumer.model.errors import ModelError, first_line
from consumer.model.labels import tag_groups
from consumer.model.language import LANGUAGE_VERSION

BUNDLED = "bundled"
DEFAULT_MAX_BATCH_TOKENS = 1024

_BUNDLED_DIRECTORY = Path(__file__).parent / "bundled"
_SHAPE_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_SHAPES_KEPT = "32"
"""On a CPU, oneDNN and PyTorch's layer above it keep what they prepared for each shape of a micro-batch, 1,024 each by
default (pytorch issue 98688): resident memory grew from 490 MB to 1,600 MB in ten minutes of varying batches. With 32
it stays near 550 MB, at the same CPU time a text (7.0 ms with 16, 6.9 with 64, 7.2 with the default)."""
_UNLIMITED = 1_000_000  # transformers writes 1e30 for "the tokenizer knows no limit"


def load_engine(
    model: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    backend: str = "torch",
    max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS,
    labels: Mapping[str, str] | None = None,
    raw: bool = False,
    on_pass: Callable[[ModelPass], None] = lambda _: None,
) -> Engine:
    """Load `model` ("bundled", a directory, or the id of a locally cached Hub model) ready to classify.

    A directory with an adapter_config.json is an adapter, merged into its base in fp32. Only safetensors are read and
    no code of the model is run. With `raw` its scores are the network's own, neither calibrated nor mixed with doubt
    about the language: what a calibration is found on. Raises ModelError with one sentence for what cannot be used.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # said explicitly, a fork does not warn about it
    for cache in _SHAPE_CACHES:
        os.environ.setdefault(cache, _SHAPES_KEPT)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    directory = model_directory(model)
    chosen_device = choose_device(device)
    base = _base(directory, model)
    refuse_pickles([directory, *([base] if base else [])], model)
    try:
        config = AutoConfig.from_pretrained(_with_file(directory, base, "config.json"), **_LOCAL)
        groups = tag_groups(config, labels, model)
        if getattr(config, "languages", None) == ["en"] and not raw:
            groups = with_language(groups)
        calibration = Calibration() if raw else read_calibration(directory, groups)
        check_cleaning(config, model)
        tokenizer = AutoTokenizer.from_pretrained(_with_file(directory, base, "tokenizer.json"), **_LOCAL)
        network = _adapted(directory, base, config, model) if base else _whole(directory, config, model)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the model {model} cannot be loaded: {first_line(error)}; "
            "give MODEL a directory saved by save_pretrained, with config.json, tokenizer.json and model.safetensors"
        ) from error
    fast_tokenizer = getattr(tokenizer, "backend_tokenizer", None)
    if fast_tokenizer is None:
        raise ModelError(f"the model {model} has no fast tokenizer; save it again with a tokenizer.json")
    pad_id = tokenizer.pad_token_id or 0
    config.pad_token_id = pad_id
    limit = _max_text_tokens(config, tokenizer)
    running = prepare(
        network,
        model,
        chosen_device,
        choose_dtype(dtype, chosen_device),
        backend,
        most_tokens=limit,
        max_batch_tokens=max_batch_tokens,
        pad_id=pad_id,
        last_id=fast_tokenizer.get_vocab_size() - 1,
    )
    weights = sorted(directory.glob("*.safetensors")) + (sorted(base.glob("*.safetensors")) if base else [])
    contents = [_tokenizer_content(fast_tokenizer), groups.description(), str(CLEANING_VERSION), str(limit)]
    if LANGUAGE in groups.groups:
        contents.append(str(LANGUAGE_VERSION))
    # Thresholds are left out: they change decisions, not tags, and the policy has a version of its own.
    version = _version(
        weights, [*contents, json.dumps([calibration.temperatures, calibration.offsets], sort_keys=True)]
    )
    return Engine(
        running,
        fast_tokenizer,
        groups,
        name=model,
        version=version,
        max_batch_tokens=max_batch_tokens,
        max_text_tokens=limit,
        pad_id=pad_id,
        calibration=calibration,
        languages=_languages(config),
        on_pass=on_pass,
    )


def _languages(config: Any) -> list[str]:
    """The languages that a model's config declares; none where it declares none, or not as a list of names."""
    declared = getattr(config, "languages", None)
    named = isinstance(declared, list) and all(isinstance(language, str) for language in declared)
    return declared if named else []


_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def model_directory(model: str) -> Path:
    """Return the directory of `model`: "bundled", a directory, or a Hub id in the local cache. Raises ModelError."""
    if model == BUNDLED:
        return _BUNDLED_DIRECTORY
    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        raise ModelError(
            f'MODEL names "{model}", which is neither "bundled", a directory nor a model in the local Hugging Face '
            f"cache; nothing is downloaded at run time: run hf download {model} first"
        ) from None


def _base(directory: Path, model: str) -> Path | None:
    """Return the directory of the base that the adapter in `directory` belongs on; None for a whole model."""
    path = directory / "adapter_config.json"
    if not path.exists():
        return None
    try:
        name = str(json.loads(path.read_bytes())["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the adapter {model} has an unreadable adapter_config.json; save the adapter again"
        ) from error
    return base_directory() if name == BASE_ID else model_directory(name)


def refuse_pickles(directories: Iterable[Path], model: str) -> None:
    """Raise ModelError unless every directory has safetensors weights."""
    for directory in directories:
        if not any(directory.glob("*.safetensors")):
            raise ModelError(
                f"the model {model} has no safetensors weights in {directory}, and pickled ones (.bin, .pt) could run "
                "code when they are read; save it again with save_pretrained"
            )


def check_cleaning(config: Any, model: str) -> None:
    """Raise ModelError for a model that was trained on texts cleaned by another version."""
    trained_with = getattr(config, "cleaning_version", CLEANING_VERSION)
    if trained_with != CLEANING_VERSION:
        raise ModelError(
            f"the model {model} was trained with text cleaning version {trained_with}, this program has version "
            f"{CLEANING_VERSION}; train it again or run the program version it came with"
        )


def _whole(directory: Path, config: Any, model: str) -> Any:
    network, missing = _network(directory, config)
    if missing:
        raise ModelError(
            f"the model {model} lacks weights for {', '.join(sorted(missing)[:3])}: it is not a trained classifier; "
            "fine-tune it first with: moderate train fit"
        )
    return network


def _adapted(directory: Path, base: Path, config: Any, model: str) -> Any:
    network, missing = _network(base, config)
    with safe_open(directory / "adapter_model.safetensors", framework="pt") as adapter:
        adapted = {key.removeprefix("base_model.model.") for key in adapter.keys()}  # noqa: SIM118 - not a dict
    if missing - adapted:
        raise ModelError(
            f"the adapter {model} lacks weights for {', '.join(sorted(missing - adapted)[:3])}: its head was "
            "not saved; train it again with modules_to_save"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(network, str(directory), local_files_only=True).merge_and_unload()


def _network(directory: Path, config: Any) -> tuple[Any, set[str]]:
    """Return the model in fp32 and the names of the weights its files lack."""
    network, info = AutoModelForSequenceClassification.from_pretrained(
        str(directory), config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **_LOCAL
    )
    return network, set(info["missing_keys"])


def _with_file(directory: Path, base: Path | None, name: str) -> str:
    """Return the directory that holds the file `name`: an adapter may leave it to its base."""
    return str(base if base and not (directory / name).exists() else directory)


def _max_text_tokens(config: Any, tokenizer: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or _UNLIMITED
    if "roberta" in config.model_type:
        positions -= config.pad_token_id + 1  # their positions count from the padding id on
    return int(min(positions, tokenizer.model_max_length, _UNLIMITED))


def _tokenizer_content(backend: Any) -> str:
    content = json.loads(backend.to_str())
    return json.dumps(content | {"truncation": None, "padding": None}, sort_keys=True)


def _version(weights: Iterable[Path], texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:12]
