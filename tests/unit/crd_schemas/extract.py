"""Write the schema of each custom resource definition given here beside this file, without its prose:

python -m tests.unit.crd_schemas.extract CRD.yaml…
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml


def without_prose(node: Any) -> Any:
    """The schema without its descriptions. A property may well be called `description`: that one stays."""
    if isinstance(node, list):
        return [without_prose(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: without_prose(schema) for name, schema in value.items()}
        if key == "properties"
        else without_prose(value)
        for key, value in node.items()
        if key != "description"
    }


def main(paths: list[str]) -> None:
    """Write one file for each served version."""
    for path in paths:
        spec = yaml.safe_load(Path(path).read_text("utf-8"))["spec"]
        for version in spec["versions"]:
            schema = without_prose(version["schema"]["openAPIV3Schema"])
            schema["properties"].pop("status", None)  # what the cluster writes, not we
            name = f"{spec['group']}_{version['name']}_{spec['names']['kind']}.json"
            (Path(__file__).parent / name).write_text(json.dumps(schema, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
