"""A Python of its own for every peer that needs packages beside the project's.

`peers/<name>/requirements.txt` says which. A `.pth` file lends the environment the project's own packages, so that
torch and transformers are the very same builds and are not installed twice; a peer whose requirements contradict them
has a file `isolated` in its folder and gets everything anew.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = PEERS / ".environments"
REPOSITORY = Path(__file__).parents[2]
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class EnvironmentMissingError(Exception):
    """A peer's packages could not be installed; the message ends with what pip said."""


def python_of(peer: str) -> Path:
    """Return the Python that runs `peer`; the first time this makes its environment, which may take minutes.

    Raises EnvironmentMissingError when that fails.
    """
    requirements = PEERS / peer / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    isolated = (PEERS / peer / "isolated").exists()
    directory = ENVIRONMENTS / peer
    stamp = directory / "made-from"
    wanted = _made_from(requirements, isolated)
    if not stamp.exists() or stamp.read_text() != wanted:
        _make(directory, requirements, isolated)
        stamp.write_text(wanted)  # last, so that an installation that failed is tried again
    return directory / "bin" / "python"


def _made_from(requirements: Path, isolated: bool) -> str:
    content = f"{isolated} {_own_packages()} {sys.version} {requirements.read_text()}"
    return hashlib.sha256(content.encode()).hexdigest()


def _make(directory: Path, requirements: Path, isolated: bool) -> None:
    sys.stderr.write(f"Making the environment of {directory.name}.\n")
    shutil.rmtree(directory, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(directory)])
    python = directory / "bin" / "python"
    if not isolated:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (directory / "lib" / version / "site-packages" / "lent.pth").write_text(f"{_own_packages()}\n")
    _run([str(python), "-m", "pip", "install", "--quiet", *_torch_option(), "--requirement", str(requirements)])


def _torch_option() -> list[str]:
    """The option that makes an isolated torch come as its CPU build, as in `make install`."""
    told = _run([sys.executable, str(REPOSITORY / "deploy" / "torch_index.py"), TORCH_INDEX])
    return told.split()


def _own_packages() -> str:
    return sysconfig.get_path("purelib")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentMissingError(f"{' '.join(command)} failed: {done.stderr.strip()[-1_000:]}")
    return done.stdout
