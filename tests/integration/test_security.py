"""TLS, passwords, tokens and rights, against a real Kafka with certificates made here."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from structlog.testing import capture_logs

from consumer.errors import ReaderError
from consumer.kafka import topics
from consumer.kafka.clients import KafkaUnavailableError
from consumer.settings import Settings
from consumer.terminal.feedback import collect
from consumer.training.errors import TrainingError
from consumer.training.feedback import read_feedback
from tests import tokens
from tests.brokers import SecuredKafka, secured_kafka
from tests.certificates import KEY_PASSWORD, Certificates, make_certificates
from tests.corrections import EXAMPLE
from tests.fakes import WordEngine
from tests.http_member import running_member
from tests.http_serving import free_port, read_reply
from tests.integration.conftest import apache_settings
from tests.stream import Member, comment, committed, member, produce, subscriber
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "consumer"]
PASSWORD = "hunter2-of-the-member"

Fields = dict[str, object]
LogIn = Callable[[SecuredKafka, Certificates], Fields]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("security") / "certificates")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured"), certificates) as kafka:
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion("member", credential, PASSWORD.encode())
        admin = AdminClient({"bootstrap.servers": kafka.unsecured})
        for changed in admin.alter_user_scram_credentials([user]).values():
            changed.result()
        yield kafka


@pytest.fixture
def unsecured(kafka: SecuredKafka, tmp_path: Path) -> Settings:
    """For this test's own topics, its producer and its subscriber."""
    return apache_settings(kafka.unsecured, tmp_path)


def mutual_tls(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return {
        "kafka_bootstrap_servers": kafka.mutual_tls,
        "kafka_security_protocol": "SSL",
        "kafka_ssl_ca_location": str(certificates.authority),
        "kafka_ssl_certificate_location": str(certificates.client),
        "kafka_ssl_key_location": str(certificates.client_key),
        "kafka_ssl_key_password": KEY_PASSWORD,
    }


def sasl(mechanism: str, kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return {
        "kafka_bootstrap_servers": kafka.sasl_tls,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_ssl_ca_location": str(certificates.authority),
        "kafka_sasl_mechanism": mechanism,
    }


def scram(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    user = {"kafka_sasl_username": "member", "kafka_sasl_password": PASSWORD}
    return sasl("SCRAM-SHA-512", kafka, certificates) | user


def oauth(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return sasl("OAUTHBEARER", kafka, certificates) | {"kafka_sasl_oauth_hook": "tests.tokens:token"}


def secured(settings: Settings, fields: Fields) -> Settings:
    return Settings(**{**settings.model_dump(exclude_unset=True), **fields})


def grant(settings: Settings, without: str = "") -> None:
    """Give the member the rights that README names, but one."""
    rights = {
        "input": (ResourceType.TOPIC, settings.input_topic, AclOperation.READ),
        "group": (ResourceType.GROUP, settings.kafka_group_id, AclOperation.READ),
        "results": (ResourceType.TOPIC, settings.results_topic, AclOperation.WRITE),
        "dead letters": (ResourceType.TOPIC, settings.dead_letter_topic, AclOperation.WRITE),
        "feedback": (ResourceType.TOPIC, settings.feedback_topic, AclOperation.WRITE),
        "transactions": (ResourceType.TRANSACTIONAL_ID, settings.kafka_group_id, AclOperation.WRITE),
    }
    allow(settings, *(binding for right, binding in rights.items() if right != without))


def allow(settings: Settings, *rights: tuple[ResourceType, str, AclOperation]) -> None:
    bindings = [
        AclBinding(kind, name, ResourcePatternType.PREFIXED, principal, "*", operation, AclPermissionType.ALLOW)
        for kind, name, operation in rights
        for principal in ("User:member", "User:CN=member")
    ]
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for granted in admin.create_acls(bindings).values():
        granted.result()
    anything = (ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    every = AclBindingFilter(*anything)  # type: ignore[arg-type]
    wait_until(lambda: set(bindings) <= set(admin.describe_acls(every).result()))


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
@pytest.mark.parametrize("log_in", [mutual_tls, scram, oauth])
def test_a_member_with_no_more_than_its_rights_tags_comments(
    log_in: LogIn, delivery: str, kafka: SecuredKafka, certificates: Certificates, unsecured: Settings
) -> None:
    grant(unsecured)
    settings = secured(unsecured, {**log_in(kafka, certificates), "delivery": delivery})
    topics.require_topics(settings)
    produce(unsecured, [*(comment(f"c-{n}", f"text {n}") for n in range(50)), b"no comment"])
    with subscriber(unsecured) as results, member(settings, WordEngine()):
        results.read(51)
        assert len(results.events()) == 50
        assert len(results.dead_letters()) == 1


def suggest_score(port: int) -> tuple[int, str]:
    body = {"comment": {"text": "you fool"}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1alpha1/comments:suggestscore", json.dumps(body).encode())
    reply = read_reply(connection)
    connection.close()
    return reply.status, json.dumps(reply.body)


def test_only_corrections_need_the_right_to_write_feedback(
    kafka: SecuredKafka, certificates: Certificates, unsecured: Settings
) -> None:
    grant(unsecured, without="feedback")
    settings = secured(unsecured, {**scram(kafka, certificates), "http_port": free_port()})
    with running_member(settings) as port:
        status, said = suggest_score(port)
        assert status == 503
        assert "this member's user may write to it (FEEDBACK_TOPIC)" in said
        with subscriber(unsecured) as results:
            produce(unsecured, [comment("c-1", "text")])
            results.read(1)
        grant(unsecured)
        assert suggest_score(port)[0] == 200


def test_a_member_goes_on_when_its_tokens_expire_and_its_hook_fails_once(
    kafka: SecuredKafka, certificates: Certificates, unsecured: Settings
) -> None:
    grant(unsecured)
    tokens.calls.clear()
    hook = {"kafka_sasl_oauth_hook": "tests.tokens:failing_once"}
    settings = secured(unsecured, oauth(kafka, certificates) | hook)
    with capture_logs() as logs, subscriber(unsecured) as results, member(settings, WordEngine()):
        for sent in range(1, 4):
            produce(unsecured, [comment(f"c-{sent}", f"text {sent}")])
            results.read(sent)
            # In all, long enough for the client whose hook failed to ask again, 10 s later.
            wait_until(partial(called_more_often_than, 5 * sent))
    failures = [entry["error"] for entry in logs if entry["event"] == "oauth_hook_failed"]
    assert failures == ["RuntimeError"]
    assert "hunter2" not in str(logs)


def called_more_often_than(times: int) -> bool:
    return len(tokens.calls) > times


def test_librdkafkas_own_way_to_get_tokens_needs_no_hook(
    kafka: SecuredKafka, certificates: Certificates, unsecured: Settings
) -> None:
    grant(unsecured)
    with tokens.token_service() as url:
        method = {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "member",
            "sasl.oauthbearer.client.secret": PASSWORD,
            "sasl.oauthbearer.token.endpoint.url": url,
        }
        settings = secured(unsecured, sasl("OAUTHBEARER", kafka, certificates) | {"kafka_extra_config": method})
        produce(unsecured, [comment("c-1", "text")])
        with subscriber(unsecured) as results, member(settings, WordEngine()):
            results.read(1)


def other_authority(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return scram(kafka, certificates) | {"kafka_ssl_ca_location": str(certificates.other_authority)}


def other_host(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return scram(kafka, certificates) | {"kafka_bootstrap_servers": kafka.sasl_tls.replace("127.0.0.1", "localhost")}


def wrong_password(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return scram(kafka, certificates) | {"kafka_sasl_password": "hunter3"}


def other_mechanism(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return scram(kafka, certificates) | {"kafka_sasl_mechanism": "SCRAM-SHA-256"}


def no_client_certificate(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    none = {"kafka_ssl_certificate_location": "", "kafka_ssl_key_location": ""}
    return mutual_tls(kafka, certificates) | none


def wrong_key_password(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return mutual_tls(kafka, certificates) | {"kafka_ssl_key_password": "hunter3"}


def no_tls(kafka: SecuredKafka, certificates: Certificates) -> Fields:
    return scram(kafka, certificates) | {"kafka_security_protocol": "SASL_PLAINTEXT"}


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (other_authority, ["certificate could not be verified", "KAFKA_SSL_CA_LOCATION"]),
        (other_host, ["certificate could not be verified", "KAFKA_BOOTSTRAP_SERVERS names the brokers as their"]),
        (wrong_password, ["invalid credentials", "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"]),
        (other_mechanism, ["supported mechanisms: SCRAM-SHA-512,OAUTHBEARER", "KAFKA_SASL_MECHANISM"]),
        (no_client_certificate, ["KAFKA_SSL_CERTIFICATE_LOCATION"]),
        (wrong_key_password, ["ssl.key.location failed", "KAFKA_SSL_KEY_PASSWORD"]),
        (no_tls, ["KAFKA_SECURITY_PROTOCOL"]),
    ],
)
def test_a_client_that_is_not_let_in_is_told_why_and_which_settings_to_look_at(
    wrong: LogIn,
    names: list[str],
    kafka: SecuredKafka,
    certificates: Certificates,
    unsecured: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "REACH_TIMEOUT_S", 4.0)
    with pytest.raises(ReaderError) as raised:
        topics.require_topics(secured(unsecured, wrong(kafka, certificates)))
    for name in names:
        assert name in str(raised.value)
    assert "hunter" not in str(raised.value)


@pytest.mark.parametrize(
    ("without", "delivery", "said"),
    [
        ("input", "at-least-once", "Topic authorization failed"),
        ("group", "at-least-once", "Group authorization failed"),
        ("results", "at-least-once", "Topic authorization failed"),
        ("dead letters", "at-least-once", "Topic authorization failed"),
        ("results", "exactly-once", "Topic authorization failed"),
        ("transactions", "exactly-once", "Transactional Id authorization failed"),
    ],
)
def test_a_member_that_lacks_a_right_ends_with_a_sentence_about_it_and_commits_nothing(
    without: str, delivery: str, said: str, kafka: SecuredKafka, certificates: Certificates, unsecured: Settings
) -> None:
    grant(unsecured, without)
    settings = secured(unsecured, {**scram(kafka, certificates), "delivery": delivery})
    produce(unsecured, [b"no comment" if without == "dead letters" else comment("c-1", "text")])
    error = Member(settings, WordEngine()).wait_until_dead()
    assert isinstance(error, ReaderError), repr(error)
    assert said in str(error)
    assert committed(unsecured) == 0


def environment(settings: Settings, password: Path) -> dict[str, str]:
    """The settings as environment variables, with the member's password in a file."""
    password.write_text(PASSWORD + "\n")
    named = settings.model_fields_set - {"kafka_sasl_password"}
    values = {name.upper(): str(getattr(settings, name)) for name in named}
    return os.environ | values | {"KAFKA_SASL_PASSWORD_FILE": str(password), "LOG_FORMAT": "json"}


def test_the_command_takes_its_password_from_a_file_and_never_shows_it(
    kafka: SecuredKafka, certificates: Certificates, unsecured: Settings, tmp_path: Path
) -> None:
    grant(unsecured)
    variables = environment(secured(unsecured, scram(kafka, certificates)), tmp_path / "password")
    produce(unsecured, [comment("c-1", "text")])
    with subscriber(unsecured) as results, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, "run"], env=variables, cwd=tmp_path, stderr=log)
        results.read(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "hunter" not in (tmp_path / "log").read_text()


def test_a_command_that_is_not_let_in_fails_without_showing_the_password(
    kafka: SecuredKafka, certificates: Certificates, unsecured: Settings, tmp_path: Path
) -> None:
    nobody = scram(kafka, certificates) | {"kafka_sasl_username": "nobody"}
    variables = environment(secured(unsecured, nobody), tmp_path / "password")
    command = [*COMMAND, "topics", "create"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KAFKA_SASL_PASSWORD" in done.stderr
    assert "hunter" not in done.stdout + done.stderr


def test_collecting_feedback_needs_to_read_its_topic_and_group_and_to_compare_it_the_results(
    kafka: SecuredKafka, certificates: Certificates, unsecured: Settings, tmp_path: Path
) -> None:
    settings = secured(unsecured, scram(kafka, certificates))
    producer = Producer({"bootstrap.servers": unsecured.kafka_bootstrap_servers})
    producer.produce(unsecured.feedback_topic, value=EXAMPLE, partition=0)
    assert producer.flush(30) == 0
    run = partial(collect, settings, tmp_path / "dataset", "", idle_s=20.0, follow=False, stopping=lambda: False)
    allow(
        unsecured,
        (ResourceType.TOPIC, settings.feedback_topic, AclOperation.READ),
        (ResourceType.GROUP, f"{settings.kafka_group_id}-feedback", AclOperation.READ),
    )
    run()
    assert len(read_feedback(tmp_path / "dataset")) == 1
    with pytest.raises(KafkaUnavailableError, match=f"{settings.results_topic} cannot be read"):
        run(against_results=True)
    assert len(read_feedback(tmp_path / "dataset")) == 1, "what could not be compared is not left out"
    allow(unsecured, (ResourceType.TOPIC, settings.results_topic, AclOperation.READ))
    run(against_results=True)
    with pytest.raises(TrainingError, match="holds no corrections to train on"):
        read_feedback(tmp_path / "dataset")
