import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import hostile_models as hostile
from tests.hostile_models import LOADED, REFUSED, config, content, header, load_without_network, tokenizer, weights
from tests.tiny_models import save_classifier

KERNELS = {
    "one of the hub": config(attn_implementation="evil/kernel"),
    "of its community": config(attn_implementation="kernels-community/flash-attn"),
    "of a revision": config(attn_implementation="evil/kernel@main:run"),
    "paged": config(attn_implementation="paged|evil/kernel"),
    "by part": config(attn_implementation={"": "evil/kernel", "text_config": "evil/kernel"}),
    "by its older name": config(_attn_implementation="evil/kernel"),
    "by its inner name": config(_attn_implementation_internal="evil/kernel"),
    "for experts": config(experts_implementation="evil/kernel", _experts_implementation="evil/kernel"),
    "with settings": config(use_kernels=True, kernel_config={"kernel_mapping": {"RMSNorm": "evil/kernel:Norm"}}),
    "fused": config(fusion_config={"patch_embeddings": "evil"}),
    "code beside known weights": config(auto_map={"AutoConfig": "evil--code.Config"}),
    "a list of outputs": config(return_dict=False, output_attentions=True, output_hidden_states=True),
}
"""What a config may ask for, and does not get: the model answers as without it."""

CONFIGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "quantized": (config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}), "quantized"),
    "quantized inside": (config(text_config={"quantization_config": {"quant_method": "gptq"}}), "quantized"),
    "other weights": (config(transformers_weights="../other.safetensors"), "transformers_weights"),
    "labels without end": (config(num_labels=10**9), "num_labels"),
    "layers without end": (config(num_hidden_layers=10**9), "num_hidden_layers"),
    "layers, more than weights": (config(num_hidden_layers=2_000), "far too few"),
    "words without end": (config(vocab_size=10**11), "far too few"),
    "as many words as memory": (config(vocab_size=10**7), "far too few"),
    "wide without end": (config(hidden_size=10**6), "far too few"),
    "wide beyond numbers": (config(hidden_size=10**18), "cannot be loaded"),
    "positions without end": (config(max_position_embeddings=10**10), "far too few"),
    "another width": (config(intermediate_size=49), "its config.json describes"),
    "less than nothing": (config(hidden_size=-32), "cannot be loaded"),
    "not a number": (content("config.json", b'{"model_type": "bert", "layer_norm_eps": NaN}'), "NaN"),
    "not UTF-8": (content("config.json", b'{"model_type": "b\xff"}'), "UTF-8"),
    "not an object": (content("config.json", b"[]"), "no object"),
    "deep": (content("config.json", b'{"a":' * 100_000), "not JSON"),
    "long digits": (content("config.json", b'{"num_labels": ' + b"9" * 5_000 + b"}"), "not JSON"),
    "a pipe": (hostile.fifo("config.json"), "not a regular file"),
    "a directory": (hostile.directory("config.json"), "not JSON"),
    "two gigabytes": (hostile.sparse("config.json", 2**31), "bytes"),
    "of no type": (config(model_type=None), "no model_type"),
    "of an unknown type": (config(model_type="\x1b[2Jevil"), "cannot be loaded"),
    "of another task": (config(model_type="clip_vision_model"), "cannot be loaded"),
    "settings for methods": (config(to_dict=1, sub_configs=2, __class__=3), "cannot be loaded"),
}
"""What is refused, and a part of the sentence."""

WEIGHTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "beside": (hostile.shards_outside(lambda model, file: f"../{model.name}-{file}"), "only from .safetensors files"),
    "absolute": (
        hostile.shards_outside(lambda model, file: str(model.parent / f"{model.name}-{file}")),
        "only from .safetensors files",
    ),
    "a shard that is missing": (hostile.shards_outside(lambda _, file: file), "lacks model-2-of-2"),
    "pickled": (hostile.shard_pickled, "only from .safetensors files"),
    "twice": (hostile.shard_twice, "two files"),
    "a large index": (
        hostile.both(hostile.sharded, hostile.sparse("model.safetensors.index.json", 10**8)),
        "bytes",
    ),
    "an index of nothing": (
        hostile.both(hostile.sharded, content("model.safetensors.index.json", b'{"weight_map": []}')),
        "without a weight_map",
    ),
    "linked": (hostile.moved_out("model.safetensors"), "link to outside"),
    "a shard that is linked": (
        hostile.both(hostile.sharded, hostile.moved_out("model-1-of-2.safetensors")),
        "link",
    ),
    "a pipe": (hostile.fifo("model.safetensors"), "not a regular file"),
    "truncated": (
        hostile.truncated,
        "cannot be loaded",
    ),
    "a header without end": (content("model.safetensors", b"\xff" * 7 + b"\x7f{}"), "cannot be loaded"),
    "overlapping": (header(lambda h: h["classifier.bias"].update(data_offsets=[0, 16])), "cannot be loaded"),
    "out of range": (header(lambda h: h["classifier.bias"].update(data_offsets=[2**40, 2**40 + 16])), "cannot be"),
    "of an unknown dtype": (header(lambda h: h["classifier.bias"].update(dtype="F3")), "cannot be loaded"),
    "of another shape": (weights(lambda t: t.update({"classifier.bias": torch.ones(5)})), "of shape [5], its config"),
}

TOKENIZERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "that is a network": (tokenizer(tokenizer_class="AutoModelForSequenceClassification"), "is no tokenizer"),
    "that is a network, by config": (
        hostile.both(tokenizer(tokenizer_class=None), config(tokenizer_class="BertModel")),
        "is no tokenizer",
    ),
    "of files elsewhere": (tokenizer(fast_tokenizer_files=["../tokenizer.0.0.1.json"]), "other places"),
    "of the hub": (
        hostile.both(hostile.without("tokenizer.json"), tokenizer(gguf_file="x.gguf", name_or_path="evil/model")),
        "other places",
    ),
    "of no length": (tokenizer(model_max_length=-1), "too few for a word"),
    "of any length": (tokenizer(model_max_length="many"), "cannot be loaded"),
    "with a pipe": (hostile.fifo("chat_template.jinja"), "not a regular file"),
    "linked": (hostile.moved_out("tokenizer.json"), "link to outside"),
    "damaged": (content("tokenizer.json", b"{}"), "cannot be loaded"),
    "two gigabytes": (hostile.sparse("tokenizer.json", 2**31), "bytes"),
}

ALL = {
    f"{kind} {name}": change
    for kind, cases in (("config", CONFIGS), ("weights", WEIGHTS), ("tokenizer", TOKENIZERS))
    for name, change in cases.items()
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What came of every model of a stranger, loaded where no connection can be made."""
    home = tmp_path_factory.mktemp("strangers")
    plain = save_classifier(home / "plain")

    def made(name: str, change: Callable[[Path], Any]) -> Path:
        model = home / name.replace(" ", "-")
        shutil.copytree(plain, model)
        change(model)
        return model

    def directories() -> Iterator[Path]:
        yield plain
        for name, change in KERNELS.items():
            yield made(f"kernel {name}", change)
        for name, (refused, _) in ALL.items():
            yield made(name, refused)

    return load_without_network(list(directories()))


def test_a_loader_that_asked_the_hub_would_be_found() -> None:
    planted = (
        "import huggingface_hub.constants; from tests.hostile_models import cut_off_network; cut_off_network()\n"
        "huggingface_hub.constants.HF_HUB_OFFLINE = False\n"
        "try: huggingface_hub.file_exists('evil/model', 'config.json')\n"
        "except Exception: pass"
    )
    run = subprocess.run([sys.executable, "-c", planted], capture_output=True, text=True, timeout=100, check=False)
    assert run.stderr.endswith("a connection was tried\n")


@pytest.mark.parametrize("name", KERNELS)
def test_what_a_config_names_to_be_fetched_or_run_is_not_obeyed(
    outcomes: dict[str, tuple[str, str]], name: str
) -> None:
    assert outcomes[f"kernel {name}".replace(" ", "-")] == (LOADED, outcomes["plain"][1])


@pytest.mark.parametrize("name", ALL)
def test_a_strangers_model_that_cannot_be_used_is_refused_with_one_sentence(
    outcomes: dict[str, tuple[str, str]], name: str
) -> None:
    kind, said = outcomes[name.replace(" ", "-")]
    assert kind == REFUSED, said
    assert ALL[name][1] in said
    assert said.isprintable()
    assert len(said) < 1000
