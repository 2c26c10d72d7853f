"""The compose files, the Dockerfile and the documents name only settings and commands that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from consumer.cli import app
from consumer.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.gpu.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SETTINGS = {name.upper() for name in Settings.model_fields}
# Settings that mean nothing in docker-compose.yml: its one broker has no TLS and no passwords, members of a scaled
# service share one environment and so cannot have a name each, and there is no HTTP server yet.
NOT_IN_COMPOSE = {"KAFKA_GROUP_INSTANCE_ID", "TOPIC_REPLICATION_FACTOR", "HTTP_PORT"} | {
    name for name in SETTINGS if name.startswith(("KAFKA_SASL_", "KAFKA_SSL_", "KAFKA_SECURITY_"))
}
# What the Dockerfile sets for the shell, Python, pip and the Hugging Face libraries.
NOT_OURS = {"PATH", "HOME", "HF_HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


def command_exists(words: list[str]) -> bool:
    """Whether `words`, what follows `moderate`, begin with the whole name of a command."""
    command = typer.main.get_command(app)
    for word in words:
        if not isinstance(command, TyperGroup):
            return True  # the rest are arguments
        if word not in command.commands:
            return False
        command = command.commands[word]
    return not isinstance(command, TyperGroup)


def commands_named_in(text: str) -> set[str]:
    """Every `moderate word word` in the text, at most three words long."""
    return {" ".join(match.split()) for match in re.findall(r"\bmoderate((?: [a-z][a-z-]*){1,2})", text)}


def code_in(markdown: str) -> str:
    """Only the fenced blocks and code spans: prose may say what it likes."""
    fenced = re.findall(r"^```.*?^```", markdown, flags=re.M | re.S)
    return "\n".join(fenced + re.findall(r"`[^`\n]+`", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)))


def merged(base: Any, override: Any) -> Any:
    """What compose makes of two files: mappings are merged, anything else is replaced."""
    if isinstance(base, dict) and isinstance(override, dict):
        return base | {key: merged(base.get(key), value) for key, value in override.items()}
    return override


@pytest.mark.parametrize(
    "path", ["docker-compose.yml", "deploy/compose.gpu.yml", "Makefile", "README.md", "CONTRIBUTING.md"]
)
def test_every_command_a_person_is_told_to_type_exists(path: str) -> None:
    text = (ROOT / path).read_text()
    for named in commands_named_in(code_in(text) if path.endswith(".md") else text):
        assert command_exists(named.split()), f"{path} names `moderate {named}`, which is no command"


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert not command_exists(["shout"])
    assert not command_exists(["topics", "shout"])
    assert not command_exists(["topics"])


def test_the_containers_start_commands_that_exist() -> None:
    assert 'ENTRYPOINT ["moderate"]' in DOCKERFILE
    [default] = re.findall(r'^CMD \["([a-z ]+)"\]$', DOCKERFILE, flags=re.M)
    assert command_exists(default.split())
    assert command_exists(SERVICES["topics"]["command"].split())


@pytest.mark.parametrize("service", ["topics", "consumer"])
def test_a_setting_in_the_environment_reaches_the_application_in_compose(service: str) -> None:
    passed = {entry.split("=")[0] for entry in SERVICES[service]["environment"]}
    assert passed == SETTINGS - NOT_IN_COMPOSE


def test_the_image_sets_no_environment_name_that_nobody_reads() -> None:
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    names = {name for line in re.findall(r"^ENV (.+)$", last_stage, flags=re.M) for name in re.findall(r"(\w+)=", line)}
    assert names <= SETTINGS | NOT_OURS


def test_compose_waits_for_services_that_exist_and_can_become_what_is_waited_for() -> None:
    waits = [(name, *wait) for name, service in SERVICES.items() for wait in service.get("depends_on", {}).items()]
    assert waits
    for name, target, wait in waits:
        assert target in SERVICES, f"{name} waits for {target}, which is no service"
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[target]
        if wait["condition"] == "service_completed_successfully":
            assert SERVICES[target]["restart"] == "no"


def test_the_consumer_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & SERVICES["consumer"].keys()


def test_the_consumer_is_given_longer_to_stop_than_it_takes() -> None:
    grace = SERVICES["consumer"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings.model_fields["shutdown_timeout_s"].default


def test_kafka_is_reached_from_this_machine_only() -> None:
    assert [port for service in SERVICES.values() for port in service.get("ports", [])] == ["127.0.0.1:9092:9092"]


def test_every_volume_is_declared_so_that_data_survives_a_restart() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == COMPOSE["volumes"].keys() == {"kafka", "redis", "hub"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_can_gain_privileges(service: str) -> None:
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


def test_the_image_does_not_run_as_root() -> None:
    [user] = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, flags=re.M)
    assert int(user) > 0


def test_the_gpu_file_gives_the_consumer_a_gpu_and_one_cuda_image_to_both_services() -> None:
    services = merged(COMPOSE, GPU)["services"]
    [device] = services["consumer"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    for name in ("topics", "consumer"):
        assert services[name]["image"] == "comment-moderation-stream:cuda"
        assert services[name]["build"]["args"] == {"TORCH_INDEX": ""}
        assert services[name]["build"]["dockerfile"] == "deploy/Dockerfile"
    assert services["consumer"]["environment"] == SERVICES["consumer"]["environment"]


def test_compose_and_make_build_with_the_same_pytorch_index_as_the_dockerfile() -> None:
    [index] = re.findall(r"^ARG TORCH_INDEX=(\S+)$", DOCKERFILE, flags=re.M)
    assert SERVICES["consumer"]["build"]["args"]["TORCH_INDEX"] == f"${{TORCH_INDEX-{index}}}"
    assert f"TORCH_INDEX ?= {index}\n" in (ROOT / "Makefile").read_text()


def test_everything_the_image_copies_is_let_into_the_build() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, flags=re.M) for name in line.split()}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)
