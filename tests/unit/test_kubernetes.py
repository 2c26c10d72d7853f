"""deploy/kubernetes: what kustomize builds is what the API server takes, and agrees with the application."""

import copy
import re
import subprocess
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from consumer.http.api import make_app
from consumer.services import open_services
from consumer.settings import Settings
from consumer.settings_parsing import known_names, load_settings, secret_names
from tests.manifests import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    Manifest,
    build,
    copy_with_secrets,
    one,
    overlay,
    parse,
    schema_errors,
    secret_values,
    workloads,
)
from tests.unit.test_deploy import command_exists, default_of

OLDEST = "1.30"
"""The oldest Kubernetes that README.md names."""
NOT_OURS = {"OMP_NUM_THREADS"}
"""What PyTorch reads."""
PRODUCTION = [name for name in OVERLAYS if name != "local"]


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    spec: dict[str, Any] = one(manifests, "Deployment", "moderation")["spec"]["template"]["spec"]
    return spec


def containers(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """The containers that run this application."""
    return [*pod(manifests).get("initContainers", []), *pod(manifests)["containers"]]


def settings_map(manifests: list[Manifest]) -> dict[str, str]:
    data: dict[str, str] = one(manifests, "ConfigMap", "moderation")["data"]
    return data


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_api_server_would_take_every_manifest(name: str, version: str) -> None:
    for manifest in overlay(name):
        assert schema_errors(manifest, version) == [], f"{manifest['kind']} {manifest['metadata']['name']}"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec/replica", 1),
        ("Deployment", "spec/minReadySeconds", "soon"),
        ("Deployment", "spec/template/spec/containers/0/readinessProb", {}),
        ("Deployment", "spec/template/spec/containers/0/ports/0/containerPort", "http"),
        ("Service", "spec/ports/0/targetport", "http"),
        ("NetworkPolicy", "spec/policyTypes", "Ingress"),
        ("PodDisruptionBudget", "spec/maxUnavailabel", 1),
        ("ConfigMap", "data/HTTP_PORT", 8000),
        ("ScaledObject", "spec/maxReplicas", 6),
        ("ScaledObject", "spec/maxReplicaCount", "6"),
        ("ScaledObject", "spec/fallback/behavior", "dynamic"),
        ("ScaledObject", "spec/triggers/0/metadata/lagThreshold", 5000),
        ("ScaledObject", "spec/advanced/horizontalPodAutoscalerConfig/behavior/scaledown", {}),
        ("TriggerAuthentication", "spec/secretTargetRef/0/secret", "moderation"),
        ("ServiceMonitor", "spec/endpoints/0/interval", "15 seconds"),
        ("ServiceMonitor", "spec/endpoints/0/url", "/metrics"),
    ],
)
def test_a_planted_mistake_is_found(kind: str, path: str, value: object) -> None:
    manifest = copy.deepcopy(next(manifest for manifest in overlay("cpu") if manifest["kind"] == kind))
    *parents, last = path.split("/")
    node: Any = manifest
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    node[last] = value
    assert schema_errors(manifest, OLDEST)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_name_in_the_environment_is_a_setting(name: str) -> None:
    manifests = overlay(name)
    for container in containers(manifests):
        set_directly = {entry["name"] for entry in container.get("env", [])}
        assert settings_map(manifests).keys() | set_directly <= {*known_names(), *NOT_OURS}
        assert container["envFrom"] == [{"configMapRef": {"name": one(manifests, "ConfigMap")["metadata"]["name"]}}]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_application_accepts_the_settings_and_secrets(
    name: str, empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = secret_values(one(overlay(name), "Secret")) | {"REDIS_URL": "rediss://user:password@redis:6379/0"}
    for variable, value in settings_map(overlay(name)).items():
        if variable.removesuffix("_FILE") in secret_names() and variable.endswith("_FILE"):
            file = empty_directory / Path(value).name
            file.write_text(secrets[file.name])
            value = str(file)
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.http_token.get_secret_value() == "secret-of-HTTP_TOKEN"
    assert settings.redis_url.get_secret_value()
    assert settings.cache_secret.get_secret_value() == "secret-of-CACHE_SECRET"
    if name in PRODUCTION:
        assert settings.kafka_sasl_password.get_secret_value() == "secret-of-KAFKA_SASL_PASSWORD"
        assert settings.kafka_security_protocol == "SASL_SSL"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_secret_of_the_example_is_mounted_where_its_setting_looks(name: str) -> None:
    manifests = overlay(name)
    secret = one(manifests, "Secret")
    [volume] = [volume for volume in pod(manifests)["volumes"] if "secret" in volume]
    assert volume["secret"] == {"secretName": secret["metadata"]["name"], "defaultMode": 0o440}
    for container in containers(manifests):
        [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
        assert mount["readOnly"]
        files = {key: value for key, value in settings_map(manifests).items() if key.endswith("_FILE")}
        assert files == {f"{key}_FILE": f"{mount['mountPath']}/{key}" for key in secret["data"]}


def test_a_secret_comes_out_as_it_was_written(tmp_path: Path) -> None:
    overlay("cpu")  # skips without kubectl
    written = """rediss://user:p%23a=b'c"d$e#f g@redis:6379/0?ssl_ca_certs=/run/ca.pem"""
    directory = copy_with_secrets(tmp_path / "kubernetes", {"REDIS_URL": written}) / "overlays/cpu"
    assert secret_values(one(parse(build(directory)), "Secret"))["REDIS_URL"] == written


@pytest.mark.parametrize("name", OVERLAYS)
def test_without_its_secrets_nothing_is_built(name: str, tmp_path: Path) -> None:
    overlay(name)  # skips without kubectl
    directory = copy_with_secrets(tmp_path / "kubernetes")
    for file in directory.rglob("secrets.env"):
        file.unlink()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        build(directory / "overlays" / name)
    assert "secrets.env" in caught.value.stderr


def test_no_secret_is_in_the_repository() -> None:
    examples = list(MANIFESTS.rglob("secrets.env.example"))
    assert examples
    for example in examples:
        names = [line for line in example.read_text().splitlines() if line and not line.startswith("#")]
        assert all(line.endswith("=") and line.count("=") == 1 for line in names), f"{example} holds a value"
    ignored = (MANIFESTS / ".gitignore").read_text().splitlines()
    assert "secrets.env" in ignored


@pytest.mark.parametrize("name", OVERLAYS)
def test_probes_ask_routes_that_exist_on_the_port_the_server_listens_on(name: str) -> None:
    manifests = overlay(name)
    [container] = pod(manifests)["containers"]
    port = int(settings_map(manifests)["HTTP_PORT"])
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    with ExitStack() as stack:
        settings = Settings(_env_file=None, http_port=port)
        services = open_services(settings, lambda: False, stack, has_server=True)
        paths = make_app(settings, services, loopback=False).openapi()["paths"]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert all(probe["path"] in paths and probe["port"] == "http" for probe in probes.values())
    assert probes["liveness"]["path"] == "/healthz", "readiness fails for reasons that a restart does not mend"
    assert settings_map(manifests)["HTTP_HOST"] == "0.0.0.0"  # noqa: S104 - the kubelet asks the pod's address


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_member_is_given_longer_to_stop_than_it_takes(name: str) -> None:
    manifests = overlay(name)
    [container] = pod(manifests)["containers"]
    pre_stop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown_timeout_s = float(settings_map(manifests)["SHUTDOWN_TIMEOUT_S"])
    # A stop in the middle of a revoke takes twice the time (deploy/RELIABILITY.md), and HTTP callers may take a third.
    assert pod(manifests)["terminationGracePeriodSeconds"] >= pre_stop_s + 3 * shutdown_timeout_s + 5


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_containers_start_commands_that_exist(name: str) -> None:
    for container in containers(overlay(name)):
        assert "command" not in container, "the image's entrypoint is `moderate`"
        assert command_exists(container["args"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_image_has_a_fixed_tag_and_is_the_one_that_compose_uses(name: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tag = {"cpu": version, "gpu": f"{version}-cuda", "local": "local"}[name]
    application, *others = (default_of(compose[name]["image"]) for name in ("consumer", "kafka", "redis"))
    allowed = {f"{application}:{tag}", *others}
    for workload in workloads(overlay(name)):
        template = workload["spec"]["template"]["spec"]
        for container in template.get("initContainers", []) + template["containers"]:
            assert container["image"] in allowed


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_selects_pods_selects_those_that_are_there(name: str) -> None:
    manifests = overlay(name)
    labels = [workload["spec"]["template"]["metadata"]["labels"].items() for workload in workloads(manifests)]
    for manifest in manifests:
        selector = manifest.get("spec", {}).get("selector", {})
        wanted = selector if manifest["kind"] == "Service" else selector.get("matchLabels", {})
        if manifest["kind"] != "ServiceMonitor":  # it selects Services
            assert any(wanted.items() <= pod_labels for pod_labels in labels), manifest["metadata"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_cores_that_are_asked_for_are_the_threads_that_are_started(name: str) -> None:
    [container] = pod(overlay(name))["containers"]
    [threads] = [entry for entry in container["env"] if entry["name"] == "OMP_NUM_THREADS"]
    assert threads["valueFrom"]["resourceFieldRef"] == {"resource": "requests.cpu", "divisor": "1"}
    assert container["resources"]["requests"]["cpu"].isdigit(), "parts of a core would be rounded up"


def test_the_readme_names_every_overlay_and_component_and_only_files_that_exist() -> None:
    readme = (MANIFESTS / "README.md").read_text()
    for folder in (*MANIFESTS.glob("overlays/*"), *MANIFESTS.glob("components/*")):
        assert f"{folder.relative_to(MANIFESTS)}" in readme
    for path in re.findall(r"\]\((?!http)([^)#]+)", readme):
        assert (MANIFESTS / path).exists(), f"README.md links to {path}"


def test_the_pods_run_as_the_images_user_and_the_readme_builds_what_the_dockerfile_can() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    [user, group] = re.findall(r"^USER (\d+):(\d+)$", dockerfile, flags=re.M)[0]
    for name in OVERLAYS:
        context = pod(overlay(name))["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (int(user), int(group), int(group))
    used = set(re.findall(r"--build-arg (\w+)=", (MANIFESTS / "README.md").read_text()))
    assert used
    assert used <= set(re.findall(r"^ARG (\w+)", dockerfile, flags=re.M))
