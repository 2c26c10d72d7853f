"""Who may ask: those who have the token; without one, programs of this machine, but no web page of another."""

import hmac
import ipaddress
import re

from starlette.types import Scope

from consumer.http.errors import ApiError
from consumer.http.heads import header
from consumer.http.perspective import key_of
from consumer.settings import Settings

OPERATION = ("/healthz", "/readyz", "/metrics")
"""They hold no texts, and probes ask for them under any name."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""They bring no texts, so they need no token: health, metrics and documents."""
OWN_PAGE = (b"", b"none", b"same-origin")
"""In `Sec-Fetch-Site`: no browser, a person, or a page of this server, such as /docs."""

_AUTHORITY = re.compile(r"(?P<host>[^\[\]:/?#@\s]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{0,5})?")


class Callers:
    """Knows the token, and who needs none."""

    def __init__(self, settings: Settings, *, loopback: bool) -> None:
        """`loopback`: nobody but this machine can reach the server."""
        self._token = settings.http_token.get_secret_value().encode()
        self._loopback = loopback
        self._own_host = settings.http_host.lower()
        self._origins = settings.http_allowed_origins

    def check(self, scope: Scope) -> None:
        """Raise `ApiError` where the caller may not send this."""
        if self._loopback and not self._token:
            if scope["path"] not in OPERATION:
                self._check_browser(scope)
        elif scope["method"] not in SAFE_METHODS:
            self._check_token(scope)

    def _check_browser(self, scope: Scope) -> None:
        """A page whose name has been made to mean 127.0.0.1 gives itself away by `Host`, any other by `Origin`."""
        headers = dict(scope["headers"])
        host, origin = headers.get(b"host"), headers.get(b"origin")
        if host is not None and not self._is_here(host.decode("latin-1")):
            raise ApiError(
                403,
                "Without HTTP_TOKEN this server answers only to the names of this machine, such as localhost, and the "
                "header Host has another one. Set HTTP_TOKEN, and send it; or ask for localhost.",
            )
        if origin is not None:
            allowed = self._is_own_origin(origin.decode("latin-1").lower())
        else:
            allowed = scope["method"] in SAFE_METHODS or headers.get(b"sec-fetch-site", b"") in OWN_PAGE
        if not allowed:
            raise ApiError(
                403,
                "Without HTTP_TOKEN this server takes nothing from web pages of other machines. Name the page's origin "
                "in HTTP_ALLOWED_ORIGINS, or set HTTP_TOKEN.",
            )

    def _is_own_origin(self, origin: str) -> bool:
        scheme, separator, authority = origin.partition("://")
        local = separator and scheme in ("http", "https") and self._is_here(authority)
        return bool(local) or origin in self._origins

    def _is_here(self, authority: str) -> bool:
        """Whether "host:port" is this machine by a name that nobody else can give themselves."""
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        host = found["host"].lower().strip("[]").removesuffix(".")
        return host in ("localhost", self._own_host) or _is_loopback(host)

    def _check_token(self, scope: Scope) -> None:
        if not self._token:
            raise ApiError(
                403,
                "This server can be reached from other machines (HTTP_HOST) and has no token, so it takes no texts. "
                "Set HTTP_TOKEN, or HTTP_TOKEN_FILE; or listen on 127.0.0.1 only.",
            )
        scheme, _, token = header(scope, b"authorization").partition(b" ")
        offered = token.strip() if scheme.lower() == b"bearer" else key_of(scope)
        if hmac.compare_digest(offered, self._token):
            return
        raise ApiError(
            401,
            "The token is not this server's HTTP_TOKEN."
            if offered
            else "Send the header `Authorization: Bearer TOKEN` with this server's HTTP_TOKEN; clients of the "
            "Perspective API may send it as `key`.",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"' if offered else "Bearer"},
        )


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
