"""The restricted Pod Security Standard of Kubernetes, control by control, as its documentation lists them."""

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
ALLOWED_CAPABILITIES = {"NET_BIND_SERVICE"}
ALLOWED_SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}


def violations(pod: Spec) -> list[str]:
    """Each control that this pod spec does not meet."""
    found = list(_of_pod(pod))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, []):
            found += [f"{container['name']}: {problem}" for problem in _of_container(container, pod)]
    return found


def _of_pod(pod: Spec) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"host namespaces: {name}"
    for volume in pod.get("volumes", []):
        if kinds := volume.keys() - {"name"} - ALLOWED_VOLUMES:
            yield f"volume types: {', '.join(sorted(kinds))}"
    context = pod.get("securityContext", {})
    if unsafe := {sysctl["name"] for sysctl in context.get("sysctls", [])} - SAFE_SYSCTLS:
        yield f"sysctls: {', '.join(sorted(unsafe))}"
    yield from _of_context(context)


def _of_container(container: Spec, pod: Spec) -> Iterator[str]:
    of_pod, context = pod.get("securityContext", {}), container.get("securityContext", {})
    effective = of_pod | context
    yield from _of_context(context)
    if context.get("privileged"):
        yield "privileged containers"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation"
    if effective.get("runAsNonRoot") is not True:
        yield "running as non-root"
    if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccomp"
    capabilities = context.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - ALLOWED_CAPABILITIES:
        yield "capabilities"
    if context.get("procMount", "Default") != "Default":
        yield "/proc mount type"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "host ports"
    if any(_names_a_host(container.get(name)) for name in _PROBES_AND_HOOKS):
        yield "host probes and lifecycle hooks"


_PROBES_AND_HOOKS = ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle")


def _names_a_host(node: Any) -> bool:
    if not isinstance(node, dict):
        return False
    for action in ("httpGet", "tcpSocket"):
        if node.get(action, {}).get("host"):
            return True
    return any(_names_a_host(child) for child in node.values())


def _of_context(context: Spec) -> Iterator[str]:
    """What the security contexts of pods and containers have in common."""
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "HostProcess"
    if context.get("runAsUser") == 0:
        yield "running as non-root user"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in ("RuntimeDefault", "Localhost"):
        yield "AppArmor"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in ALLOWED_SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "SELinux"
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        yield "seccomp"
