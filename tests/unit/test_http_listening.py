"""Opening the port: who can reach it, and what is said when it cannot be opened."""

import socket

import pytest

from consumer.http.listening import is_loopback, listen
from consumer.settings_parsing import SettingsError


def test_connections_send_what_they_have_at_once() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False), ("::", False)],  # noqa: S104
)
def test_only_addresses_of_this_machine_alone_count_as_loopback(host: str, loopback: bool) -> None:
    with listen(host, 0) as listening:
        assert is_loopback(listening) == loopback


def test_all_addresses_of_ipv6_take_ipv4_callers_too() -> None:
    with listen("::", 0) as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=10):
        pass


def test_a_port_in_use_is_said_with_the_setting_and_the_remedy() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(SettingsError, match=f"HTTP_PORT={port} is in use; set another one"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "[::1]", "a" * 300, "a..b", " "])
def test_a_host_that_is_no_address_of_this_machine_is_said_with_the_setting_and_the_remedy(host: str) -> None:
    with pytest.raises(SettingsError, match=r"HTTP_HOST is not an address .* set it to 127\.0\.0\.1"):
        listen(host, 0)
