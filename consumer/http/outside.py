"""Where callers see this server, which proxies before it may know better: they say so in `X-Forwarded-…`."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from consumer.settings_lists import Network

_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")


class Outside:
    """Lets what is inside see a request as its caller sent it: by scheme, host and the prefix that a proxy took off the
    path. Proxies are believed where they are trusted; a host that cannot be one is believed to nobody."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[Network]) -> None:
        """`trusted` are the networks of the proxies."""
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        changed: dict[str, Any] = {}
        values = _forwarded(scope) if self._is_proxy(scope["client"]) else {}
        proto = _first(values.get(b"x-forwarded-proto", "")).lower()
        if proto in ("http", "https"):
            changed["scheme"] = proto
        prefix = _prefix(values.get(b"x-forwarded-prefix", ""))
        if prefix:
            changed |= {"root_path": prefix, "path": prefix + scope["path"]}
        named = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        host = next(filter(_HOST.fullmatch, (_first(values.get(b"x-forwarded-host", "")), named)), "")
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        # Without any, Starlette names the address that was connected to.
        changed["headers"] = [(b"host", host.encode()), *others] if host else others
        await self._app({**scope, **changed}, receive, send)

    def _is_proxy(self, client: tuple[str, int] | None) -> bool:
        if not self._trusted or client is None:
            return False
        address = ipaddress.ip_address(client[0].partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._trusted)


def outside_url(request: Request) -> str:
    """The address at which the caller sees this server, with a slash at its end."""
    return str(request.base_url)


def _forwarded(scope: Scope) -> dict[bytes, str]:
    """The proxies' headers; one that came several times is one list."""
    values: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name.startswith(b"x-forwarded-"):
            values.setdefault(name, []).append(value.decode("latin-1"))
    return {name: ",".join(parts) for name, parts in values.items()}


def _first(values: str) -> str:
    """Of a list, what the proxy said that the caller spoke to."""
    return values.partition(",")[0].strip()


def _prefix(values: str) -> str:
    """All prefixes, the outermost first: each proxy took off its own. Empty where one cannot be a path."""
    prefix = "".join(value.strip().rstrip("/") for value in values.split(","))
    return prefix if _PREFIX.fullmatch(prefix) else ""
