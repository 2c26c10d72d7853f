"""Settings that are lists, with commas between their values: origins of web pages, networks of proxies."""

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")


def _values(value: object) -> object:
    """What stands between the commas; anything but a string passes unchanged."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _origins(value: object) -> object:
    values = _values(value)
    return tuple(_origin(str(one)) for one in values) if isinstance(values, list | tuple) else values


def _origin(value: str) -> str:
    """As browsers write it in `Origin`, which is compared as it stands."""
    if value == "*":
        return value
    found = _ORIGIN.fullmatch(value.lower())
    if found is None:
        raise ValueError(
            "is a list of origins with commas between them; write each as https://www.example.org, without a path or a "
            "slash at its end, and names beyond ASCII as xn--…, or * for all"
        )
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS.get(scheme) else "")


def _networks(value: object) -> object:
    values = _values(value)
    return tuple(_network(str(one)) for one in values) if isinstance(values, list | tuple) else values


def _network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            "is a list of addresses and networks with commas between them, such as 10.0.0.7, 10.1.0.0/16 or fd00::/8"
        ) from None


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
