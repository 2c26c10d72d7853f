"""deploy/kubernetes: no member goes without the secret that signs the answers in Redis, and it is easily made."""

import re
import subprocess
from pathlib import Path

import pytest

from consumer.settings_parsing import SettingsError, load_settings
from tests.manifests import MANIFESTS, OVERLAYS, build, copy_with_secrets, one, overlay, parse, secret_values
from tests.unit.test_kubernetes import settings_map


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_member_whose_secret_lacks_the_cache_secret_refuses_to_start(
    name: str, empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {key: value for key, value in settings_map(overlay(name)).items() if key.endswith("_FILE")}
    for variable, path in files.items():
        file = empty_directory / Path(path).name
        if variable != "CACHE_SECRET_FILE":
            file.write_text("redis://redis:6379/0")
        monkeypatch.setenv(variable, str(file))
    with pytest.raises(SettingsError, match="CACHE_SECRET_FILE names a file that cannot be read"):
        load_settings()


def test_what_the_readme_types_for_the_local_overlay_makes_every_secret_of_its_example(tmp_path: Path) -> None:
    overlay("local")  # skips without kubectl
    directory = copy_with_secrets(tmp_path / "deploy/kubernetes")
    [command] = re.findall(r"^for name in .*$", (MANIFESTS / "README.md").read_text(), flags=re.M)
    for _ in range(2):
        subprocess.run(["/bin/sh", "-euc", command], cwd=tmp_path, check=True)
        made = secret_values(one(parse(build(directory / "overlays/local")), "Secret"))
        assert made.keys() == secret_values(one(overlay("local"), "Secret")).keys()
        assert len(set(made.values())) == len(made)
        assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in made.values())
