"""The comments of `moderate demo`, written for this project, and records that are broken on purpose."""

import base64
import json
from importlib.resources import files
from typing import NamedTuple


class BrokenRecord(NamedTuple):
    """A record that cannot be processed: what is wrong with it, its value, and the dead-letter reason to expect."""

    name: str
    value: bytes | None
    reason: str


def comments() -> list[bytes]:
    """The values of the comments, in the input contract."""
    return _lines("comments.jsonl")


def broken() -> list[BrokenRecord]:
    """The broken records."""
    records = []
    for line in _lines("broken.jsonl"):
        fields = json.loads(line)
        encoded = fields["value_base64"]
        value = None if encoded is None else base64.b64decode(encoded)
        records.append(BrokenRecord(fields["name"], value, fields["reason"]))
    return records


def _lines(name: str) -> list[bytes]:
    return files(__name__).joinpath(name).read_bytes().splitlines()
