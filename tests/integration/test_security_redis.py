"""TLS, passwords and rights, against a real Redis with certificates made here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.cache.client import RedisStore
from consumer.cache.embedded import free_port
from consumer.errors import ReaderError
from consumer.settings import Settings
from tests.certificates import KEY_PASSWORD, Certificates, make_certificates
from tests.fakes import WordEngine
from tests.integration.conftest import embedded_settings
from tests.redis_server import require_tls, running_redis
from tests.stream import comment, member, produce, subscriber
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

KEYS = "on >hunter2 ~moderate:* -@all"
# The member has not one right more than README names.
USERS = {"default": "off", "member": f"{KEYS} +mget +set", "reader": f"{KEYS} +mget"}
PATIENT = {"cache_timeout_ms": 30_000}
TEXTS = [f"text {number}" for number in range(20)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("redis") / "certificates")


@pytest.fixture(scope="module")
def url(certificates: Certificates) -> Iterator[str]:
    """The address of a Redis that wants TLS, a client's certificate and a password."""
    require_tls()
    port = free_port()
    tls = {
        "--tls-port": port,
        "--tls-cert-file": certificates.server,
        "--tls-key-file": certificates.server_key,
        "--tls-ca-cert-file": certificates.authority,
        "--tls-auth-clients": "yes",
    }
    options = [str(word) for option in tls.items() for word in option]
    users = [word for name, rules in USERS.items() for word in ("--user", name, *rules.split())]
    with running_redis(*options, *users):
        yield (
            f"rediss://member:hunter2@127.0.0.1:{port}/0?ssl_ca_certs={certificates.authority}"
            f"&ssl_certfile={certificates.client}&ssl_keyfile={certificates.client_key}&ssl_password={KEY_PASSWORD}"
        )


def tagged_by(settings: Settings) -> set[str]:
    """Let a member tag every text; returns what answered: the model or Redis."""
    produce(settings, [comment(f"c-{number}", text) for number, text in enumerate(TEXTS)])
    with subscriber(settings) as results, member(settings, WordEngine()):
        results.read(len(TEXTS))
        return {event.answered_by for event in results.events()}


def test_members_share_answers_over_tls_with_no_more_rights_than_they_need(
    url: str, embedded_bootstrap: str, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        assert tagged_by(embedded_settings(embedded_bootstrap, tmp_path, redis_url=url, **PATIENT)) == {"model"}
        assert tagged_by(embedded_settings(embedded_bootstrap, tmp_path, redis_url=url, **PATIENT)) == {"redis"}
    assert "cache_open" not in [entry["event"] for entry in logs]


@pytest.mark.parametrize(
    ("right", "wrong", "reason", "affected", "remedy"),
    [
        (":hunter2@", ":hunter3@", "AuthenticationError", "reads and writes", "the user and the password in REDIS_URL"),
        ("/authority.pem", "/other-authority.pem", "ConnectionError", "reads and writes", "certificate of a rediss://"),
        ("/authority.pem", "/no-such-file.pem", "ConnectionError", "reads and writes", "certificate of a rediss://"),
        ("127.0.0.1", "localhost", "ConnectionError", "reads and writes", "certificate of a rediss://"),
        ("/member.pem", "/other-authority.pem", "ConnectionError", "reads and writes", "certificate of a rediss://"),
        ("=hunter2-of-the-key", "=hunter3", "ConnectionError", "reads and writes", "certificate of a rediss://"),
        ("/0?", "/1?", "NoPermissionError", "reads and writes", "allow this user MGET and SET"),
        (
            "//member:",
            "//reader:",
            "NoPermissionError",
            "writes",
            "allow this user MGET and SET",
        ),
    ],
)
def test_a_redis_that_refuses_opens_the_circuit_with_its_remedy_and_every_comment_comes_out(
    right: str,
    wrong: str,
    reason: str,
    affected: str,
    remedy: str,
    url: str,
    embedded_bootstrap: str,
    tmp_path: Path,
) -> None:
    assert url.count(right) == 1
    settings = embedded_settings(embedded_bootstrap, tmp_path, redis_url=url.replace(right, wrong), **PATIENT)
    with capture_logs() as logs, subscriber(settings) as results, member(settings, WordEngine()):

        def said_after_another_comment() -> bool:
            number = len(results.messages)
            produce(settings, [comment(f"c-{number}", f"{wrong} {number}")])
            results.read(number + 1)
            return "cache_open" in [entry["event"] for entry in logs]

        wait_until(said_after_another_comment)
        wait_until(said_after_another_comment)
    opened = [entry for entry in logs if entry["event"] == "cache_open"]
    assert [(entry["reason"], entry["affected"]) for entry in opened] == [(reason, affected)]
    assert remedy in opened[0]["remedy"]
    assert "hunter" not in str(logs)


@pytest.mark.parametrize("parameter", ["ssl_ca_cert=/misspelled.pem", "ssl_cert_reqs=perhaps"])
def test_a_parameter_that_is_none_is_refused_at_the_start_without_quoting_the_password(parameter: str) -> None:
    with pytest.raises(ReaderError, match="REDIS_URL is not a Redis URL") as refusal:
        RedisStore(f"rediss://member:hunter2@127.0.0.1:6379/0?{parameter}", 60)
    assert "hunter2" not in str(refusal.value)


def test_tls_parameters_need_a_tls_address() -> None:
    with pytest.raises(ReaderError, match="rediss://"):
        RedisStore("redis://127.0.0.1:6379/0?ssl_ca_certs=/ca.pem", 60)
