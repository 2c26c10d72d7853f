"""Model directories as a stranger might send them: each is a tiny model that works, with one thing changed.

Run as a script it loads every directory that it is given, in a process that has no network, and prints what came.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file, save_file

REFUSED, LOADED = "refused", "loaded"

SLOW = r"([\w.]+)+!"
"""A pattern that takes longer than anybody waits to find that it does not fit."""


def edit(file: Path, **changes: Any) -> None:
    """Change members of the JSON object in `file`; None stands for itself."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda model: edit(model / "config.json", **changes)


def tokenizer(**changes: Any) -> Callable[[Path], None]:
    return lambda model: edit(model / "tokenizer_config.json", **changes)


def content(name: str, data: bytes) -> Callable[[Path], None]:
    def write(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        (model / name).write_bytes(data)

    return write


def truncated(model: Path) -> None:
    os.truncate(model / "model.safetensors", (model / "model.safetensors").stat().st_size - 9)


def without(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def fifo(name: str) -> Callable[[Path], None]:
    def make(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        os.mkfifo(model / name)

    return make


def directory(name: str) -> Callable[[Path], None]:
    def make(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        (model / name).mkdir()

    return make


def sparse(name: str, size: int) -> Callable[[Path], None]:
    """A file of `size` bytes that takes no room on the disk."""

    def make(model: Path) -> None:
        with (model / name).open("ab") as file:
            file.truncate(size)

    return make


def moved_out(name: str) -> Callable[[Path], None]:
    """The file lies beside the model's directory, a link to it inside."""

    def move(model: Path) -> None:
        outside = model.with_name(f"{model.name}.{name}")
        (model / name).rename(outside)
        (model / name).symlink_to(outside)

    return move


def sharded(model: Path, rename: Callable[[Path, str], str] = lambda _, name: name) -> None:
    """Split the weights in two files with an index; `rename` says how the index calls each."""
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"model-1-of-2.safetensors": names[::2], "model-2-of-2.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: weights[name] for name in held}, model / file, {"format": "pt"})
    weight_map = {name: rename(model, file) for file, held in shards.items() for name in held}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change_all(model: Path) -> None:
        for change in changes:
            change(model)

    return change_all


def shards_outside(called: Callable[[Path, str], str]) -> Callable[[Path], None]:
    """The second shard lies outside; the index calls it so."""

    def make(model: Path) -> None:
        sharded(model, lambda model, file: called(model, file) if "2-of" in file else file)
        outside = model.parent / f"{model.name}-model-2-of-2.safetensors"
        (model / "model-2-of-2.safetensors").rename(outside)

    return make


def shard_twice(model: Path) -> None:
    sharded(model)
    shutil.copy(model / "model-1-of-2.safetensors", model / "model-2-of-2.safetensors")


def shard_pickled(model: Path) -> None:
    sharded(model, lambda _, file: file.replace("2-of-2.safetensors", "2-of-2.bin"))
    torch.save({}, model / "model-2-of-2.bin")


def header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Rewrite the header of the weights file."""

    def rewrite(model: Path) -> None:
        data = (model / "model.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        members = json.loads(data[8 : 8 + size])
        change(members)
        text = json.dumps(members).encode()
        (model / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])

    return rewrite


def weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def rewrite(model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        change(tensors)
        save_file(tensors, model / "model.safetensors", {"format": "pt"})

    return rewrite


def load_without_network(
    models: Iterable[Path | str], timeout_s: float = 300, **variables: str
) -> dict[str, tuple[str, str]]:
    """Load every directory in a process of its own whose sockets refuse; return by name what came: "loaded" and the
    version, "refused" and the sentence, or what else was raised. A connection that was tried ends it all.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= variables
    command = [sys.executable, "-m", "tests.hostile_models", *map(str, models)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    return {name: (kind, said) for name, kind, said in map(json.loads, run.stdout.splitlines())}


def _no_network(*_arguments: object, **_options: object) -> NoReturn:
    os.write(2, b"a connection was tried\n")
    os._exit(70)  # an exception might be caught by the one who tries


def cut_off_network() -> None:
    """End this process at the first connection that anybody in it tries."""
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, _no_network)
    socket.getaddrinfo = _no_network


def _load_all(models: Iterable[str]) -> None:
    from consumer.model import ModelError, load_engine

    cut_off_network()
    for model in models:
        try:
            engine = load_engine(model, device="cpu", dtype="float32")
            outcome = (LOADED, engine.version)
        except ModelError as error:
            outcome = (REFUSED, str(error))
        except BaseException as error:
            outcome = (type(error).__name__, str(error))
        sys.stdout.write(json.dumps([Path(model).name, *outcome]) + "\n")


if __name__ == "__main__":
    _load_all(sys.argv[1:])
