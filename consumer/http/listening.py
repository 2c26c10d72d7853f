"""Opens the port, so that a setting that is wrong is known before anything else begins."""

import errno
import ipaddress
import socket

from consumer.http.room import BACKLOG
from consumer.settings_parsing import SettingsError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; an IPv6 address takes IPv4 callers too. Raises `SettingsError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)
    except (OSError, ValueError) as error:  # ValueError: what cannot even be the name of a host
        raise SettingsError(_sentence(error, port)) from None
    # Connections inherit it. asyncio sets it only where it has made the socket itself; without it an answer's body
    # waits until the other side acknowledges the headers: 44 ms instead of 1.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Whether nobody but this machine can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def _sentence(error: Exception, port: int) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return f"HTTP_PORT={port} is in use; set another one, or stop what listens there."
        case OSError(errno=errno.EACCES):
            return f"HTTP_PORT={port} may not be opened by this user; set one above 1023."
        case _:
            return (
                "HTTP_HOST is not an address of this machine; set it to 127.0.0.1 for this machine only, or to 0.0.0.0 "
                "for all of its addresses."
            )
