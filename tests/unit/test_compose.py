"""docker-compose.yml: who reaches whom, what a service may take, the secret of the cache, images that can be pinned."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_deploy import (
    COMPOSE,
    DOCKERFILE,
    GPU,
    LAST_STAGE,
    PUBLISHED,
    ROOT,
    SERVICES,
    SETTINGS,
    default_of,
    merged,
)


def test_limits_stand_where_both_generations_of_compose_read_them() -> None:
    """The classic one knows no pids under `deploy`; the newer one refuses limits in both places that differ."""
    for service in merged(COMPOSE, GPU)["services"].values():
        assert "limits" not in service.get("deploy", {}).get("resources", {})
        assert "mem_reservation" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_can_be_pinned_to_a_digest_by_a_variable_that_the_head_of_the_file_names(name: str) -> None:
    head = (ROOT / "docker-compose.yml").read_text().partition("\nx-hardened")[0]
    image = SERVICES[name]["image"]
    variable = image[2:].partition(":-")[0]
    assert image == f"${{{variable}:-{default_of(image)}}}"
    assert re.search(rf"\b{variable}\b", head)


def test_every_variable_of_the_compose_files_alone_is_named_at_the_head_and_is_no_setting() -> None:
    files = (ROOT / "docker-compose.yml", ROOT / "deploy/compose.gpu.yml")
    used = {name for file in files for name in re.findall(r"(?<!\$)\$\{(\w+)", file.read_text())}
    head = (ROOT / "docker-compose.yml").read_text().partition("\nx-hardened")[0]
    assert used <= set(re.findall(r"\b[A-Z_]+\b", head))
    assert not used & SETTINGS


def test_the_dockerfiles_base_can_be_pinned_from_compose_too() -> None:
    [base] = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, flags=re.M)
    assert SERVICES["consumer"]["build"]["args"]["BASE"] == f"${{BASE_IMAGE:-{base}}}"


def test_redis_is_reached_by_the_members_alone_and_prometheus_reaches_nothing_but_them() -> None:
    on = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
    assert {name for name, networks in on.items() if "cache" in networks} == {"redis", "consumer"}
    assert on["redis"] == {"cache"}
    assert COMPOSE["networks"]["cache"] == {"internal": True}
    assert on["kafka"] == on["topics"] == {"stream"}
    assert on["prometheus"] == on["grafana"] == {"metrics"}
    assert on["consumer"] == COMPOSE["networks"].keys()
    assert SERVICES["cache-secret"]["network_mode"] == "none"
    for name in PUBLISHED:  # Docker publishes no port of a container whose networks are all internal
        assert any(not (COMPOSE["networks"][network] or {}).get("internal") for network in on[name])


def run_cache_secret(folder: Path, given: str | None) -> str:
    """What members read after the service cache-secret has run, with `folder` in its volume's place."""
    [script] = SERVICES["cache-secret"]["command"]
    [volume] = SERVICES["cache-secret"]["volumes"]
    script = script.replace("$$", "$").replace(volume.split(":")[1], str(folder))
    environment = {"PATH": os.environ["PATH"]} | ({} if given is None else {"CACHE_SECRET": given})
    subprocess.run([*SERVICES["cache-secret"]["entrypoint"], script], env=environment, check=True)
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o400
    return file.read_text()


def test_the_cache_secret_is_made_once_and_the_one_that_is_given_wins(tmp_path: Path) -> None:
    made = run_cache_secret(tmp_path, None)
    assert re.fullmatch(r"[0-9a-f]{64}", made)
    assert run_cache_secret(tmp_path, None) == run_cache_secret(tmp_path, "") == made
    given = "a $given secret 'x' \"y\" %s \\n é"
    assert run_cache_secret(tmp_path, given) == given
    assert run_cache_secret(tmp_path, None) == given
    (tmp_path / "CACHE_SECRET").unlink()
    assert run_cache_secret(tmp_path, None) not in (made, given)


def test_members_read_the_cache_secret_that_is_written_before_they_start() -> None:
    [written] = SERVICES["cache-secret"]["volumes"]
    name, folder = written.split(":")
    assert f"install -d -o 10001 -g 10001 -m 700 {folder}" in LAST_STAGE  # so that the volume belongs to its user
    assert f"{folder}/CACHE_SECRET\n" in SERVICES["cache-secret"]["command"][0]
    for service in ("topics", "consumer"):
        assert f"CACHE_SECRET_FILE={folder}/CACHE_SECRET" in SERVICES[service]["environment"]
        assert "CACHE_SECRET" not in SERVICES[service]["environment"]  # both are refused
        assert f"{name}:{folder}:ro" in SERVICES[service]["volumes"]
        assert SERVICES[service]["depends_on"]["cache-secret"] == {"condition": "service_completed_successfully"}
