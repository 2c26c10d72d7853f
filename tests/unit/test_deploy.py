"""The compose files, the Dockerfile and the documents name only settings and commands that exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from consumer.cli import app
from consumer.settings import Settings
from consumer.settings_parsing import secret_names

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "deploy/Dockerfile").read_text())
"""With each instruction on one line."""
LAST_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.gpu.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PUBLISHED = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
SETTINGS = {name.upper() for name in Settings.model_fields}
# Settings that mean nothing in docker-compose.yml: its one broker has no TLS and no passwords, members of a scaled
# service share one environment and so cannot have a name each, and the image says where its server listens.
NOT_IN_COMPOSE = {"KAFKA_GROUP_INSTANCE_ID", "TOPIC_REPLICATION_FACTOR", "HTTP_HOST", "HTTP_PORT"} | {
    name for name in SETTINGS if name.startswith(("KAFKA_SASL_", "KAFKA_SSL_", "KAFKA_SECURITY_"))
}
# What the Dockerfile sets for the shell, Python, pip and the Hugging Face libraries.
NOT_OURS = {"PATH", "HOME", "HF_HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}


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


def image_environment() -> dict[str, str]:
    """What the image's last stage sets."""
    lines = re.findall(r"^ENV (.+)$", LAST_STAGE, flags=re.M)
    return {name: value for line in lines for name, value in re.findall(r"(\w+)=(\S+)", line)}


def commands_named_in(text: str) -> set[str]:
    """Every `moderate word word` in the text, at most three words long."""
    return {" ".join(match.split()) for match in re.findall(r"\bmoderate((?: [a-z][a-z-]*){1,2})", text)}


def code_in(markdown: str) -> str:
    """Only the fenced blocks and code spans: prose may say what it likes."""
    fenced = re.findall(r"^```.*?^```", markdown, flags=re.M | re.S)
    return "\n".join(fenced + re.findall(r"`[^`\n]+`", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)))


def default_of(value: str) -> str:
    """What compose makes of `${NAME:-default}` where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def merged(base: Any, override: Any) -> Any:
    """What compose makes of two files: mappings are merged, anything else is replaced."""
    if isinstance(base, dict) and isinstance(override, dict):
        return base | {key: merged(base.get(key), value) for key, value in override.items()}
    return override


@pytest.mark.parametrize(
    "path",
    [
        *("docker-compose.yml", "deploy/compose.gpu.yml", "deploy/Dockerfile", "Makefile"),
        *("README.md", "CONTRIBUTING.md"),
        *("deploy/OPERATIONS.md", "deploy/CAPACITY.md", "deploy/METRICS.md", "deploy/kubernetes/README.md"),
    ],
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
    # A secret may come as the file that another service writes.
    passed = {name.removesuffix("_FILE") if name.removesuffix("_FILE") in secret_names() else name for name in passed}
    assert {name for name in passed if not name.startswith("OTEL_")} == SETTINGS - NOT_IN_COMPOSE


def test_the_image_sets_no_environment_name_that_nobody_reads() -> None:
    assert image_environment().keys() <= SETTINGS | NOT_OURS


def test_the_image_serves_on_the_port_that_it_exposes_and_compose_and_prometheus_ask() -> None:
    environment = image_environment()
    assert environment["HTTP_HOST"] == "0.0.0.0"  # noqa: S104
    assert re.findall(r"^EXPOSE (\d+)$", LAST_STAGE, flags=re.M) == [environment["HTTP_PORT"]]
    assert PUBLISHED["consumer"].endswith(f":{environment['HTTP_PORT']}")
    [job] = PROMETHEUS["scrape_configs"]
    [discovery] = job["dns_sd_configs"]
    assert (discovery["names"], str(discovery["port"])) == (["consumer"], environment["HTTP_PORT"])


def test_the_image_watches_its_own_health_and_lets_signals_through() -> None:
    [command] = re.findall(r"^HEALTHCHECK .*CMD (\[.+\])$", LAST_STAGE, flags=re.M)
    assert yaml.safe_load(command) == ["python", "-I", "-S", "/opt/healthcheck.py"]
    assert "COPY deploy/healthcheck.py /opt/" in LAST_STAGE
    # A command that is no list runs under a shell, which keeps signals to itself.
    assert re.findall(r"^(?:ENTRYPOINT|CMD) [^\[]", LAST_STAGE, flags=re.M) == []


def test_the_image_is_labelled_with_the_version_that_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"ARG VERSION={project['version']}\n" in LAST_STAGE
    for label in ("title", "description", "licenses", "version", "source", "revision"):
        assert f"org.opencontainers.image.{label}=" in LAST_STAGE


def test_the_last_stage_has_nothing_to_install_with() -> None:
    assert "pip uninstall" in LAST_STAGE
    assert not re.search(r"pip install|apt-get|pip wheel", LAST_STAGE)


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
    assert not {"container_name", "hostname"} & SERVICES["consumer"].keys()
    first, last = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):\d+", PUBLISHED["consumer"]).groups()  # type: ignore[union-attr]
    assert int(last) - int(first) >= Settings.model_fields["topic_partitions"].default - 1


def test_the_consumer_is_given_longer_to_stop_than_it_takes() -> None:
    grace = SERVICES["consumer"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings.model_fields["shutdown_timeout_s"].default


def test_everything_is_reached_from_this_machine_only() -> None:
    assert PUBLISHED.keys() == {"kafka", "consumer", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in PUBLISHED.values())


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_and_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    image = default_of(service["image"])
    assert image == "comment-moderation-stream" or re.search(r":v?\d+(\.\d+)*(-alpine)?$", image)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only") or name == "kafka"  # its image writes its configuration where it lies
    assert service["mem_limit"]
    assert service["pids_limit"] > 0


def test_every_volume_is_declared_so_that_data_survives_a_restart() -> None:
    sources = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    named = {source for source in sources if not source.startswith("./")}
    assert named == COMPOSE["volumes"].keys() == {"kafka", "redis", "hub", "prometheus", "secrets"}


def test_what_compose_mounts_from_the_repository_exists_and_cannot_be_written() -> None:
    mounts = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    ours = [mount for mount in mounts if mount[0].startswith("./")]
    assert len(ours) == 3
    for source, _target, *options in ours:
        assert (ROOT / source).is_dir()
        assert options == ["ro"]


def test_the_observability_services_start_only_when_they_are_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"prometheus", "grafana"}
    assert all(SERVICES[name]["profiles"] == ["observability"] for name in ("prometheus", "grafana"))


def test_grafana_shows_everybody_on_this_machine_the_dashboards_and_lets_nobody_change_anything() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


def test_grafana_finds_prometheus_and_the_dashboards_where_compose_puts_them() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    [source] = [yaml.safe_load(path.read_text()) for path in (provisioning / "datasources").iterdir()]
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    [provider] = [yaml.safe_load(path.read_text()) for path in (provisioning / "dashboards").iterdir()]
    path = provider["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in SERVICES["grafana"]["volumes"]


def test_the_image_does_not_run_as_root() -> None:
    [user] = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, flags=re.M)
    assert int(user) > 0


def test_the_gpu_file_gives_the_consumer_a_gpu_and_one_cuda_image_to_all_services_of_the_application() -> None:
    services = merged(COMPOSE, GPU)["services"]
    [device] = services["consumer"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    for name in ("cache-secret", "topics", "consumer"):
        assert services[name]["image"] == "${APP_IMAGE:-comment-moderation-stream:cuda}"
        assert services[name]["build"]["args"]["TORCH"] == "cuda"
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


def test_no_document_has_a_gap_that_was_to_be_filled() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "deploy").rglob("*.md")]:
        assert "@@" not in path.read_text(), f"{path.name} has a placeholder in it"
