"""deploy/kubernetes: what KEDA and the Prometheus operator are told agrees with the settings and the Service."""

import re
import subprocess
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from consumer.settings import Settings
from tests.manifests import MANIFESTS, ROOT, Manifest, one, overlay, parse, schema_errors

SCALED = ("cpu", "gpu")
# What KEDA's Kafka scaler reads (https://keda.sh/docs/latest/scalers/apache-kafka/); other names it ignores in silence.
KAFKA_TRIGGER_NAMES = {
    "activationLagThreshold",
    "allowIdleConsumers",
    "bootstrapServers",
    "consumerGroup",
    "ensureEvenDistributionOfPartitions",
    "excludePersistentLag",
    "lagThreshold",
    "limitToPartitionsWithLag",
    "offsetResetPolicy",
    "partitionLimitation",
    "sasl",
    "scaleToZeroOnInvalidOffset",
    "tls",
    "topic",
    "unsafeSsl",
    "version",
}
KEDA_MECHANISMS = {"PLAIN": "plaintext", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512"}
MEASURED_COMMENTS_PER_S = 466
"""One member on two cores: deploy/CAPACITY.md."""


def scaled_object(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(overlay(name), "ScaledObject")["spec"]
    return spec


def kafka_trigger(name: str) -> dict[str, Any]:
    trigger: dict[str, Any]
    [trigger] = [trigger for trigger in scaled_object(name)["triggers"] if trigger["type"] == "kafka"]
    return trigger


def settings_map(name: str) -> dict[str, str]:
    data: dict[str, str] = one(overlay(name), "ConfigMap")["data"]
    return data


@pytest.mark.parametrize("name", SCALED)
def test_keda_asks_for_the_lag_of_the_group_and_topic_that_the_members_read(name: str) -> None:
    metadata, settings = kafka_trigger(name)["metadata"], settings_map(name)
    assert metadata.keys() <= KAFKA_TRIGGER_NAMES
    assert metadata["bootstrapServers"] == settings["KAFKA_BOOTSTRAP_SERVERS"]
    assert metadata["consumerGroup"] == settings["KAFKA_GROUP_ID"]
    assert metadata["topic"] == settings["INPUT_TOPIC"]
    assert metadata["offsetResetPolicy"] == settings["KAFKA_AUTO_OFFSET_RESET"]


@pytest.mark.parametrize("name", SCALED)
def test_keda_logs_in_as_the_members_do(name: str) -> None:
    trigger, settings = kafka_trigger(name), settings_map(name)
    authentication = one(overlay(name), "TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert trigger["metadata"]["tls"] == ("enable" if "SSL" in settings["KAFKA_SECURITY_PROTOCOL"] else "disable")
    assert trigger["metadata"]["sasl"] == KEDA_MECHANISMS[settings["KAFKA_SASL_MECHANISM"]]
    parameters = {}
    for field, kind in (("configMapTargetRef", "ConfigMap"), ("secretTargetRef", "Secret")):
        for reference in authentication["spec"][field]:
            source = one(overlay(name), kind)
            assert reference["name"] == source["metadata"]["name"]
            assert reference["key"] in source["data"]
            parameters[reference["parameter"]] = reference["key"]
    assert parameters == {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}


@pytest.mark.parametrize("name", SCALED)
def test_there_are_never_more_members_than_partitions(name: str) -> None:
    scaled, partitions = scaled_object(name), int(settings_map(name)["TOPIC_PARTITIONS"])
    assert 1 <= scaled["minReplicaCount"] <= scaled["fallback"]["replicas"] <= scaled["maxReplicaCount"] <= partitions
    assert kafka_trigger(name)["metadata"]["allowIdleConsumers"] == "false"


def test_the_cpu_overlay_may_use_every_partition() -> None:
    assert scaled_object("cpu")["maxReplicaCount"] == int(settings_map("cpu")["TOPIC_PARTITIONS"])


@pytest.mark.parametrize("name", SCALED)
def test_nothing_but_keda_says_how_many_members_there_are(name: str) -> None:
    deployment = one(overlay(name), "Deployment", "moderation")
    assert scaled_object(name)["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"]


@pytest.mark.parametrize("name", SCALED)
def test_members_are_taken_away_slowly_and_once_in_ten_minutes(name: str) -> None:
    behavior = scaled_object(name)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300
    [policy] = behavior["scaleDown"]["policies"]
    assert policy["periodSeconds"] >= 300
    assert policy["value"] <= 50
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] > 0, "a rebalance's own lag would scale"


def test_the_lag_threshold_is_twenty_to_thirty_seconds_of_a_members_work() -> None:
    assert 20 <= int(kafka_trigger("cpu")["metadata"]["lagThreshold"]) / MEASURED_COMMENTS_PER_S <= 30


def test_keda_speaks_a_kafka_version_that_kafka_4_still_takes() -> None:
    version = tuple(int(part) for part in kafka_trigger("cpu")["metadata"]["version"].split("."))
    assert version >= (2, 1, 0), "Kafka 4 removed the protocol of older clients (KIP-896)"


def test_the_cpu_trigger_compares_with_cores_that_are_asked_for() -> None:
    [trigger] = [trigger for trigger in scaled_object("cpu")["triggers"] if trigger["type"] == "cpu"]
    assert trigger["metricType"] == "Utilization"
    assert 50 <= int(trigger["metadata"]["value"]) < 100
    for container in one(overlay("cpu"), "Deployment")["spec"]["template"]["spec"]["containers"]:
        assert container["resources"]["requests"]["cpu"]


def test_a_gpu_member_is_given_its_gpu_and_told_to_use_it() -> None:
    template = one(overlay("gpu"), "Deployment")["spec"]["template"]["spec"]
    [container] = template["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in template["tolerations"]
    assert template["nodeSelector"]
    settings = settings_map("gpu")
    assert settings["MODEL_DEVICE"] == "cuda"
    assert int(settings["MAX_BATCH_TOKENS"]) > Settings.model_fields["max_batch_tokens"].default
    assert [trigger["type"] for trigger in scaled_object("gpu")["triggers"]] == ["kafka"]


@pytest.mark.parametrize("name", SCALED)
def test_the_service_monitor_finds_the_service_and_its_port(name: str, empty_directory: object) -> None:
    monitor, service = one(overlay(name), "ServiceMonitor"), one(overlay(name), "Service")
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"
    assert float(endpoint["scrapeTimeout"].removesuffix("s")) <= float(endpoint["interval"].removesuffix("s"))


def test_the_alert_rules_look_for_the_job_that_the_service_monitor_makes() -> None:
    # Without `jobLabel` a ServiceMonitor's job has the Service's name.
    assert "jobLabel" not in one(overlay("cpu"), "ServiceMonitor")["spec"]
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert one(overlay("cpu"), "Service")["metadata"]["name"] in [
        job["job_name"] for job in prometheus["scrape_configs"]
    ]


def test_the_readmes_command_makes_a_rule_resource_of_the_alert_rules() -> None:
    readme = (MANIFESTS / "README.md").read_text()
    [command] = re.findall(r"^(\{ printf .+?\}) \| kubectl apply -f -$", readme, flags=re.M | re.S)
    made = subprocess.run(["bash", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    [rule] = parse(made)
    assert schema_errors(rule, kubernetes_validate.latest_version()) == []
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    monitor: Manifest = one(overlay("cpu"), "ServiceMonitor")
    assert rule["metadata"]["namespace"] == monitor["metadata"]["namespace"]
    assert rule["metadata"]["labels"] == monitor["metadata"]["labels"]
