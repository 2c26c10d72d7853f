"""Loading a model: the bundled one, a directory, or what is in the local Hugging Face cache. Nothing is downloaded."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import transformers

from consumer.answer import ModelPass
from consumer.model.backend import prepare
from consumer.model.calibration import Calibration, read_calibration
from consumer.model.cleaning import CLEANING_VERSION
from consumer.model.device import choose_device, choose_dtype
from consumer.model.doubt import LANGUAGE, with_language
from consumer.model.engine import Engine
from consumer.model.errors import ModelError, first_line, printable
from consumer.model.labels import tag_groups
from consumer.model.language import LANGUAGE_VERSION
from consumer.model.source import Source, find

DEFAULT_MAX_BATCH_TOKENS = 1024

_SHAPE_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_SHAPES_KEPT = "32"
"""On a CPU, oneDNN and PyTorch's layer above it keep what they prepared for each shape of a micro-batch, 1,024 each by
default (pytorch issue 98688): resident memory grew from 490 MB to 1,600 MB in ten minutes of varying batches. With 32
it stays near 550 MB, at the same CPU time a text (7.0 ms with 16, 6.9 with 64, 7.2 with the default)."""
_FEWEST_TOKENS = 4  # a word and what stands around a text
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
    chosen_device = choose_device(device)
    try:
        source = find(model)
        config, computing = source.config()
        groups = tag_groups(config, labels, model)
        if getattr(config, "languages", None) == ["en"] and not raw:
            if LANGUAGE.name in groups.label_names():
                raise ModelError(
                    f"the model {model} has a tag group language of its own, and languages in its config.json, from "
                    "which one is made; rename the group or remove languages"
                )
            groups = with_language(groups)
        calibration = Calibration() if raw else read_calibration(source.directory, groups)
        check_cleaning(config, model)
        tokenizer = source.tokenizer(config)
        network, unused = _network(source, config)
        fast_tokenizer = getattr(tokenizer, "backend_tokenizer", None)
        if fast_tokenizer is None:
            raise ModelError(f"the model {model} has no fast tokenizer; save it again with a tokenizer.json")
        pad_id = tokenizer.pad_token_id or 0
        config.pad_token_id = pad_id
        limit = _max_text_tokens(config, tokenizer, model)
    except ModelError:
        raise
    except Exception as error:  # a stranger's files may make a library raise anything; they hold no comments
        raise ModelError(
            f"the model {model} cannot be loaded: {first_line(error)}; "
            "give MODEL a directory saved by save_pretrained, with config.json, tokenizer.json and model.safetensors"
        ) from error
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
    contents = [_tokenizer_content(fast_tokenizer), groups.description(), str(CLEANING_VERSION), str(limit)]
    if LANGUAGE in groups.groups:
        contents.append(str(LANGUAGE_VERSION))
    # Thresholds are left out: they change decisions, not tags, and the policy has a version of its own.
    contents.append(json.dumps([calibration.temperatures, calibration.offsets], sort_keys=True))
    # Each only where it is not what it always was, so that versions stay that were given without it.
    contents += [
        told for told in (computing, json.dumps(unused) if unused else "", f"pad {pad_id}" if pad_id else "") if told
    ]
    version = _version(source.weight_files(), contents)
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
    if isinstance(declared, list) and all(isinstance(language, str) for language in declared):
        return declared
    return []


def check_cleaning(config: Any, model: str) -> None:
    """Raise ModelError for a model that was trained on texts cleaned by another version."""
    trained_with = getattr(config, "cleaning_version", CLEANING_VERSION)
    if trained_with != CLEANING_VERSION:
        raise ModelError(
            f"the model {model} was trained with text cleaning version {printable(str(trained_with))}, this program "
            f"has version {CLEANING_VERSION}; train it again or run the program version it came with"
        )


def refuse_missing(info: Mapping[str, Any], model: str) -> None:
    """Raise ModelError for a whole model that lacked weights, as transformers told when it was loaded."""
    if info["missing_keys"]:
        raise ModelError(
            f"the model {model} lacks weights for {', '.join(sorted(info['missing_keys'])[:3])}: it is not a "
            "trained classifier; fine-tune it first with: moderate train fit"
        )


def _network(source: Source, config: Any) -> tuple[Any, list[str]]:
    """Return the network in fp32, an adapter merged, and the names of weights that it has no use for."""
    network, info = source.network(config)
    unused = sorted(info["unexpected_keys"])
    if source.settings is not None:
        return network.merge_and_unload(), unused
    refuse_missing(info, source.model)
    return network, unused


def _max_text_tokens(config: Any, tokenizer: Any, model: str) -> int:
    positions = getattr(config, "max_position_embeddings", None) or _UNLIMITED
    if "roberta" in config.model_type:
        positions -= config.pad_token_id + 1  # their positions count from the padding id on
    most = int(min(positions, tokenizer.model_max_length, _UNLIMITED))
    if most < _FEWEST_TOKENS:
        raise ModelError(
            f"the model {model} takes texts of {most} tokens at most, too few for a word; correct "
            "max_position_embeddings in its config.json or model_max_length in its tokenizer_config.json"
        )
    return most


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
