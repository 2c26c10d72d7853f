import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import hostile_models as hostile
from tests.hostile_models import LOADED, REFUSED, SLOW, edit, load_without_network
from tests.tiny_models import save_classifier, save_lora


def adapter(**changes: Any) -> Callable[[Path], None]:
    return lambda model: edit(model / "adapter_config.json", **changes)


def without(part: str) -> Callable[[Path], None]:
    def remove(model: Path) -> None:
        weights = load_file(model / "adapter_model.safetensors")
        save_file(
            {name: held for name, held in weights.items() if part not in name}, model / "adapter_model.safetensors"
        )

    return remove


def with_weights(name: str) -> Callable[[Path], None]:
    def add(model: Path) -> None:
        weights = load_file(model / "adapter_model.safetensors")
        save_file(weights | {name: torch.ones(2, 32)}, model / "adapter_model.safetensors")

    return add


def pickled(model: Path) -> None:
    torch.save(load_file(model / "adapter_model.safetensors"), model / "adapter_model.bin")
    (model / "adapter_model.safetensors").unlink()


ANSWER_ALIKE: dict[str, Callable[[Path], None]] = {
    "a slow pattern of targets": adapter(target_modules=SLOW),
    "a slow pattern of what to leave out": adapter(exclude_modules=SLOW),
    "slow patterns of layers": adapter(layers_pattern=[SLOW], layers_to_transform=[0]),
    "targets that weights lack": adapter(target_modules=["value", "dense", "query"], init_lora_weights=False),
    "a module to import that nothing asks for": adapter(megatron_core="evil_module"),
    "a class to import": adapter(auto_mapping={"parent_library": "evil_module", "base_model_class": "Evil"}),
    "a revision": adapter(revision="evil"),
}
REFUSED_BY: dict[str, tuple[Callable[[Path], None], str]] = {
    "a module to import": (adapter(megatron_config={"x": 1}, megatron_core="evil_module"), "megatron_config"),
    "a slow pattern of ranks": (adapter(rank_pattern={SLOW: 2}), "rank_pattern"),
    "a slow pattern of scales": (adapter(alpha_pattern={SLOW: 2}), "alpha_pattern"),
    "another kind": (adapter(peft_type="VERA"), "peft_type"),
    "an unheard-of kind": (adapter(peft_type="\x1b[2J"), "peft_type"),
    "prompts": (adapter(peft_type="PREFIX_TUNING", num_virtual_tokens=10**9), "not plain LoRA"),
    "layers copied": (adapter(layer_replication=[[0, 10**9]]), "layer_replication"),
    "its base's weights rewritten": (adapter(init_lora_weights="pissa_niter_9999999"), "init_lora_weights"),
    "with tokens": (adapter(trainable_token_indices=[1, 2]), "trainable_token_indices"),
    "of any rank": (adapter(r=10**9), "rank 2"),
    "of no rank": (adapter(r=0), "not plain LoRA"),
    "of a rank in words": (adapter(r="2"), "not plain LoRA"),
    "of any scale": (adapter(lora_alpha=float("1e300")), "lora_alpha"),
    "on the web": (adapter(base_model_name_or_path="https://evil.example/model"), "neither a directory"),
    "on a model of the hub": (adapter(base_model_name_or_path="evil/model"), "neither a directory"),
    "on nothing": (adapter(base_model_name_or_path=None), "base_model_name_or_path"),
    "on escapes": (adapter(base_model_name_or_path="\x1b]0;evil\x07"), "neither a directory"),
    "on a zero": (adapter(base_model_name_or_path="a\0b"), "neither a directory"),
    "on a long name": (adapter(base_model_name_or_path="a" * 1000), "neither a directory"),
    "on what is no model": (adapter(base_model_name_or_path="/"), "no safetensors weights in /"),
    "on itself": (lambda m: adapter(base_model_name_or_path=str(m))(m), "an adapter itself"),
    "pickled": (pickled, "no adapter_model.safetensors"),
    "without LoRA": (without("lora_"), "rank 0"),
    "half of it": (without("lora_B"), "half of its LoRA"),
    "with more than fits": (with_weights("base_model.model.bert.other.lora_A.weight"), "no place for"),
    "with more than is used": (with_weights("base_model.model.other.weight"), "no place for"),
    "a pipe": (hostile.fifo("adapter_config.json"), "not a regular file"),
    "not an object": (hostile.content("adapter_config.json", b"[]"), "no object"),
    "linked": (hostile.moved_out("adapter_model.safetensors"), "link to outside"),
}


def in_cache(home: Path, name: str, model: Path) -> None:
    """Put the files of `model` where the Hugging Face cache keeps those of the hub's `name`: links into its `blobs`,
    and from there, for one of them, into those of all models.
    """
    kept = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = kept / "snapshots" / ("0" * 40)
    for folder in (snapshot, kept / "blobs", kept / "refs"):
        folder.mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    for number, file in enumerate(sorted(model.iterdir())):
        shutil.copy(file, kept / "blobs" / str(number))
        if file.suffix == ".safetensors":
            (home / "hub" / "blobs").mkdir()
            (kept / "blobs" / str(number)).rename(home / "hub" / "blobs" / "shared")
            (kept / "blobs" / str(number)).symlink_to(Path("../../blobs/shared"))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What came of every model, loaded where no connection can be made."""
    home = tmp_path_factory.mktemp("strangers")
    base = save_classifier(home / "base")
    plain = save_lora(home / "plain", base)
    in_cache(home, "owner/base", base)

    def made(name: str, change: Callable[[Path], Any]) -> Path:
        model = home / name.replace(" ", "-")
        shutil.copytree(plain, model)
        change(model)
        return model

    def models() -> Iterator[Path | str]:
        (home / "a link").symlink_to(base, target_is_directory=True)
        yield from (base, plain, home / "a link", "owner/base")
        yield home / "hub" / "models--owner--base" / "snapshots" / ("0" * 40)
        yield made("on the cache", adapter(base_model_name_or_path="owner/base"))
        for name, change in ANSWER_ALIKE.items():
            yield made(name, change)
        for name, (change, _) in REFUSED_BY.items():
            yield made(name, change)

    return load_without_network(list(models()), HF_HOME=str(home))


@pytest.mark.parametrize("name", ["a link", "0" * 40])
def test_a_model_is_the_same_through_links_and_in_the_cache_of_the_hub(
    outcomes: dict[str, tuple[str, str]], name: str
) -> None:
    assert outcomes[name] == (LOADED, outcomes["base"][1])


def test_a_base_is_found_in_the_cache_of_the_hub(outcomes: dict[str, tuple[str, str]]) -> None:
    assert outcomes["on-the-cache"] == (LOADED, outcomes["plain"][1])


@pytest.mark.parametrize("name", ANSWER_ALIKE)
def test_an_adapter_is_applied_where_its_weights_say_and_nothing_is_imported(
    outcomes: dict[str, tuple[str, str]], name: str
) -> None:
    assert outcomes[name.replace(" ", "-")] == (LOADED, outcomes["plain"][1])


@pytest.mark.parametrize("name", REFUSED_BY)
def test_a_strangers_adapter_that_cannot_be_used_is_refused_with_one_sentence(
    outcomes: dict[str, tuple[str, str]], name: str
) -> None:
    kind, said = outcomes[name.replace(" ", "-")]
    assert kind == REFUSED, said
    assert REFUSED_BY[name][1] in said
    assert said.isprintable()
