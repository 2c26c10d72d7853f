"""The images' lock files: complete, hashed, and what pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy/locks"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RENEW = "run deploy/locks/renew.sh"


def locked(name: str) -> dict[str, str]:
    """The version of each package in a lock file."""
    entries = re.findall(r"^([\w.-]+)==(\S+) \\$", (LOCKS / name).read_text(), flags=re.M)
    return {canonicalize_name(package): version for package, version in entries}


def unsatisfied(requirements: Iterable[str], versions: dict[str, str]) -> list[str]:
    """The requirements that no locked version answers."""
    wanted = [Requirement(text) for text in requirements]
    return [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]


@pytest.mark.parametrize("name", ["cpu.txt", "cuda.txt"])
def test_a_lock_holds_every_dependency_in_a_version_that_pyproject_allows(name: str) -> None:
    project = PYPROJECT["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["otel"]
    assert unsatisfied(requirements, locked(name)) == [], RENEW


def test_the_build_lock_holds_what_the_wheel_is_built_with() -> None:
    assert unsatisfied(PYPROJECT["build-system"]["requires"], locked("build.txt")) == [], RENEW


def test_a_missing_or_too_old_package_is_noticed() -> None:
    assert unsatisfied(["rich>=14", "typer>=0.20"], {"rich": "13.9"}) == ["rich>=14", "typer>=0.20"]


@pytest.mark.parametrize("name", ["cpu.txt", "cuda.txt", "build.txt"])
def test_every_locked_package_has_one_exact_version_and_the_hashes_of_its_files(name: str) -> None:
    statements = re.sub(r"\\\n", "", re.sub(r"^\s*#.*\n", "", (LOCKS / name).read_text(), flags=re.M)).splitlines()
    assert len(statements) == len(locked(name)) > 5
    for statement in statements:
        assert re.fullmatch(r"[\w.-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", statement), statement[:60]


def test_both_images_have_the_same_packages_but_for_pytorchs_own_and_openvino() -> None:
    cpu, cuda = locked("cpu.txt"), locked("cuda.txt")
    assert cpu.pop("openvino")
    assert cpu.pop("torch") == f"{cuda.pop('torch')}+cpu"
    assert cpu.items() <= cuda.items(), RENEW
    assert all(re.match("nvidia-|cuda-|triton", name) for name in cuda.keys() - cpu.keys())


def test_the_cpu_build_of_torch_is_locked_for_both_processor_families() -> None:
    [hashes] = re.findall(
        r"^torch==\S+ \\\n((?:\s+--hash=\S+(?: \\)?\n)+)", (LOCKS / "cpu.txt").read_text(), flags=re.M
    )
    assert len(hashes.split("--hash=")) - 1 >= 2, "renew.sh with --find-links knows only the file that lies there"


def test_the_encoders_loader_stays_out_of_the_images() -> None:
    for name in ("cpu.txt", "cuda.txt"):
        assert not {"sentence-transformers", "scikit-learn", "scipy"} & locked(name).keys()
