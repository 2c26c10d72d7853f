"""deploy/kubernetes: pods meet the restricted Pod Security Standard, and the network lets through what it must."""

import copy
from typing import Any

import pytest

from tests.manifests import OVERLAYS, Manifest, one, overlay, workloads
from tests.pod_security import violations

Labels = dict[str, str]
HARMLESS: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_meets_the_restricted_standard_that_its_namespace_enforces(name: str) -> None:
    assert one(overlay(name), "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(overlay(name)):
        assert violations(workload["spec"]["template"]["spec"]) == [], workload["metadata"]["name"]


@pytest.mark.parametrize(
    ("of_pod", "of_container", "control"),
    [
        ({"hostNetwork": True}, {}, "host namespaces"),
        ({"hostPID": True}, {}, "host namespaces"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, "volume types"),
        ({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}, {}, "volume types"),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, {}, "sysctls"),
        ({"securityContext": {"runAsUser": 0}}, {}, "running as non-root user"),
        ({"securityContext": {"seLinuxOptions": {"user": "u"}}}, {}, "SELinux"),
        ({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {}, "AppArmor"),
        ({"securityContext": {"windowsOptions": {"hostProcess": True}}}, {}, "HostProcess"),
        ({"securityContext": {"runAsNonRoot": None}}, {}, "running as non-root"),
        ({"securityContext": {"seccompProfile": {}}}, {}, "seccomp"),
        ({}, {"securityContext": {"privileged": True}}, "privileged containers"),
        ({}, {"securityContext": {"allowPrivilegeEscalation": None}}, "privilege escalation"),
        ({}, {"securityContext": {"capabilities": {}}}, "capabilities"),
        ({}, {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_TIME"]}}}, "capabilities"),
        ({}, {"securityContext": {"procMount": "Unmasked"}}, "/proc mount type"),
        ({}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccomp"),
        ({}, {"ports": [{"containerPort": 1, "hostPort": 1}]}, "host ports"),
        ({}, {"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}}, "host probes"),
        ({}, {"lifecycle": {"preStop": {"httpGet": {"host": "h", "port": 1}}}}, "host probes"),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_planted_weakness_is_found(
    of_pod: dict[str, Any], of_container: dict[str, Any], control: str, kind: str
) -> None:
    pod = copy.deepcopy(HARMLESS)
    assert violations(pod) == []
    pod[kind] = copy.deepcopy(pod["containers"])
    merge(pod, of_pod)
    merge(pod[kind][0], of_container)
    assert any(control in violation for violation in violations(pod))


def merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict) and value:
            merge(target[key], value)
        else:
            target[key] = value


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_pod_can_talk_to_the_kubernetes_api_or_take_names_from_services(name: str) -> None:
    assert one(overlay(name), "ServiceAccount")["automountServiceAccountToken"] is False
    for workload in workloads(overlay(name)):
        assert workload["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
        assert workload["spec"]["template"]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_members_can_write_nowhere_but_into_tmp(name: str) -> None:
    pod = one(overlay(name), "Deployment", "moderation")["spec"]["template"]["spec"]
    empty = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    for container in pod.get("initContainers", []) + pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert [mount["mountPath"] for mount in writable] == ["/tmp"]  # noqa: S108 - a path in the container
        assert {mount["name"] for mount in writable} <= empty


def meets(selector: dict[str, Any], labels: Labels) -> bool:
    """Whether a label selector takes these labels."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def lets_in(name: str, namespace: str, labels: Labels, port: int | str, namespace_labels: Labels | None = None) -> bool:
    """Whether a pod with these labels in that namespace may come to a member's port."""
    for policy in policies_of_the_members(name, "Ingress"):
        for rule in policy["spec"].get("ingress", []):
            if port not in [entry["port"] for entry in rule["ports"]]:
                continue
            for peer in rule["from"]:
                own = {"kubernetes.io/metadata.name": namespace} | (namespace_labels or {})
                in_namespace = meets(peer["namespaceSelector"], own) if "namespaceSelector" in peer else False
                if in_namespace and meets(peer.get("podSelector", {}), labels):
                    return True
    return False


def policies_of_the_members(name: str, direction: str) -> list[Manifest]:
    return policies_of(name, "moderation", direction)


def policies_of(name: str, application: str, direction: str) -> list[Manifest]:
    """The policies for pods of that name."""
    pods = {"app.kubernetes.io/name": application}
    found = [
        manifest
        for manifest in overlay(name)
        if manifest["kind"] == "NetworkPolicy"
        and direction in manifest["spec"]["policyTypes"]
        and meets(manifest["spec"]["podSelector"], pods)
    ]
    assert any(policy["metadata"]["name"] == "default-deny" for policy in found)
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_prometheus_and_labelled_namespaces_come_in_and_others_do_not(name: str) -> None:
    prometheus = {"app.kubernetes.io/name": "prometheus"}
    assert lets_in(name, "monitoring", prometheus, "http")
    assert lets_in(name, "site", {}, "http", {"calls-moderation": "true"})
    assert not lets_in(name, "monitoring", {}, "http")
    assert not lets_in(name, "site", prometheus, "http")
    assert not lets_in(name, "site", {}, "http", {"calls-moderation": "false"})


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_members_may_go_to_dns_and_to_the_ports_of_kafka_and_redis_only(name: str) -> None:
    rules = [rule for policy in policies_of_the_members(name, "Egress") for rule in policy["spec"].get("egress", [])]
    assert all(rule["to"] and rule["ports"] for rule in rules), "an empty list lets everything out"
    ports = {entry["port"] for rule in rules for entry in rule["ports"]}
    settings = one(overlay(name), "ConfigMap")["data"]
    kafka = {int(server.rpartition(":")[2]) for server in settings["KAFKA_BOOTSTRAP_SERVERS"].split(",")}
    assert ports == {53, 6379} | kafka


def test_the_default_policy_denies_both_directions_to_every_pod() -> None:
    [policy] = [manifest for manifest in overlay("cpu") if (manifest["metadata"]["name"]) == "default-deny"]
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def peers(name: str, application: str, direction: str, field: str) -> set[tuple[str, int]]:
    """The pods of the overlay's own namespace, by name, that an application is let speak with, and at which port."""
    names = ["moderation", "kafka", "redis", "prometheus", "another"]
    return {
        (other, entry["port"])
        for policy in policies_of(name, application, direction)
        for rule in policy["spec"].get(direction.lower(), [])
        for peer in rule[field]
        if "namespaceSelector" not in peer
        for other in names
        if meets(peer["podSelector"], {"app.kubernetes.io/name": other})
        for entry in rule["ports"]
    }


def test_only_the_members_reach_the_local_redis_and_it_reaches_nobody() -> None:
    assert peers("local", "redis", "Ingress", "from") == {("moderation", 6379)}
    assert peers("local", "redis", "Egress", "to") == set()
    assert peers("local", "kafka", "Ingress", "from") == {("moderation", 9092), ("kafka", 9092)}
    assert peers("local", "kafka", "Egress", "to") == {("kafka", 9092)}
    assert peers("local", "moderation", "Egress", "to") == {("kafka", 9092), ("redis", 6379)}
