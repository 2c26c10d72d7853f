"""Settings: read from the environment and .env, refused with a sentence, documented from one place."""

from pathlib import Path

import pytest

from consumer.settings import Settings
from consumer.settings_checks import GUARDED_CLIENT_SETTINGS
from consumer.settings_parsing import SettingsError, load_settings, misspelled
from consumer.terminal.settings_table import as_env, as_markdown

pytestmark = pytest.mark.usefixtures("empty_directory")

ROOT = Path(__file__).parents[2]
NAMES = [name.upper() for name in Settings.model_fields]

PASSWORDS = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_sasl_username": "me",
    "kafka_sasl_password": "hunter2",
}
TOKENS = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "OAUTHBEARER",
    "kafka_sasl_oauth_hook": "mine:token",
}
OIDC = {"sasl.oauthbearer.method": "oidc"}


def test_the_readme_table_and_env_example_say_what_the_settings_are() -> None:
    assert as_markdown() in (ROOT / "README.md").read_text(), "run `moderate settings --markdown`"
    assert (ROOT / ".env.example").read_text() == as_env(), "run `moderate settings --env`"


def test_every_setting_has_a_meaning() -> None:
    assert all(field.description and field.description.endswith(".") for field in Settings.model_fields.values())


def test_the_example_env_file_is_accepted_with_every_line_active(empty_directory: Path) -> None:
    lines = [
        line.removeprefix("#") for line in as_env().splitlines() if line.startswith("#") and "=" in line.split(" ")[0]
    ]
    assert len(lines) == len(NAMES)
    (empty_directory / ".env").write_text("\n".join(lines))
    assert load_settings() == Settings()


def test_an_unknown_name_in_env_file_is_refused_with_the_name_that_was_meant(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("KAFKA_BOOTSTRAP_SERVER=x:9092\n")
    with pytest.raises(
        SettingsError, match="KAFKA_BOOTSTRAP_SERVER, which is not a setting; did you mean KAFKA_BOOTSTRAP_SERVERS"
    ):
        load_settings()


def test_only_near_misspellings_in_the_environment_are_warned_about() -> None:
    environment = {
        "REDIS_ULR": "x",
        "KAFKA_PORT": "tcp://1",
        "REDIS_SERVICE_HOST": "x",
        "PATH": "/",
        "MODEL": "bundled",
    }
    (warning,) = misspelled(environment, NAMES)
    assert "REDIS_ULR" in warning
    assert "REDIS_URL" in warning


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"results_topic": "comments"}, "four different topics"),
        ({"kafka_session_timeout_ms": 400_000}, "KAFKA_SESSION_TIMEOUT_MS must be below"),
        ({"kafka_extra_config": '{"enable.auto.commit": true}'}, "KAFKA_EXTRA_CONFIG must not set enable.auto.commit"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "needs KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_security_protocol": "SASL_SSL"}, "needs KAFKA_SASL_MECHANISM"),
        ({"kafka_ssl_key_location": "/key.pem"}, "belong together"),
        (PASSWORDS | {"kafka_sasl_password": ""}, "needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        (PASSWORDS | {"kafka_sasl_oauth_hook": "mine:token"}, "KAFKA_SASL_OAUTH_HOOK needs .*=OAUTHBEARER"),
        ({"kafka_sasl_oauth_hook": "mine:token"}, "KAFKA_SASL_OAUTH_HOOK needs .*=OAUTHBEARER"),
        (TOKENS | {"kafka_sasl_oauth_hook": "mine.token"}, "KAFKA_SASL_OAUTH_HOOK"),
        (TOKENS | {"kafka_sasl_oauth_hook": ""}, "needs one source of tokens: either KAFKA_SASL_OAUTH_HOOK, or"),
        (TOKENS | {"kafka_extra_config": OIDC}, "needs one source of tokens: either KAFKA_SASL_OAUTH_HOOK, or"),
        (TOKENS | {"kafka_sasl_username": "me"}, "takes no KAFKA_SASL_USERNAME"),
        (TOKENS | {"kafka_sasl_password": "hunter2"}, "no KAFKA_SASL_PASSWORD"),
        ({"redis_url": "localhost:6379"}, "REDIS_URL must begin with"),
        (
            {"policy_review": '{"toxicity.toxic": 0.95}', "policy_reject": '{"toxicity.toxic": 0.9}'},
            r"POLICY_REVIEW for toxicity.toxic \(0.95\) is above POLICY_REJECT \(0.9\)",
        ),
        ({"policy_review": '{"toxicity.toxic": 1.5}'}, "POLICY_REVIEW"),
        ({"policy_reject": "[1]"}, "must be a JSON object"),
        ({"delivery": "at-most-once"}, "DELIVERY"),
        ({"delivery": "exactly-once", "kafka_transaction_timeout_ms": 5_100}, r"TIMEOUT_MS \(5100\) must exceed"),
        ({"http_port": 80_000}, "HTTP_PORT"),
        ({"http_token": "two words"}, "HTTP_TOKEN has white space"),
        ({"http_allowed_origins": "*"}, r"HTTP_ALLOWED_ORIGINS=\* lets every web page in, so it needs HTTP_TOKEN"),
        ({"http_allowed_origins": "www.example.org"}, "write each as https://www.example.org, without a path"),
        ({"http_allowed_origins": "https://example.org/"}, "HTTP_ALLOWED_ORIGINS: is a list of origins"),
        ({"http_allowed_origins": "https://a.example, null"}, "HTTP_ALLOWED_ORIGINS: is a list of origins"),
        ({"http_allowed_origins": "https://*.example.org"}, "HTTP_ALLOWED_ORIGINS: is a list of origins"),
        ({"http_allowed_origins": "https://m\u00f6derate.example"}, "names beyond ASCII as xn--"),
        ({"http_trusted_proxies": "nginx"}, "HTTP_TRUSTED_PROXIES: is a list of addresses and networks"),
        ({"http_trusted_proxies": "10.0.0.1/8"}, "HTTP_TRUSTED_PROXIES: is a list of addresses and networks"),
        ({"http_trusted_proxies": "*"}, "HTTP_TRUSTED_PROXIES: is a list of addresses and networks"),
        ({"http_max_connections": 1}, "HTTP_MAX_CONNECTIONS"),
        ({"health_stall_timeout_s": 150.0}, r"HEALTH_STALL_TIMEOUT_S must be above 150"),
        (
            {"shutdown_timeout_s": 600.0, "kafka_max_poll_interval_ms": 3_600_000},
            r"HEALTH_STALL_TIMEOUT_S must be above 720",
        ),
        ({"max_batch_records": 0}, "MAX_BATCH_RECORDS"),
    ],
)
def test_an_unsafe_setting_is_refused_in_a_sentence_that_names_it(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_settings(**fields)


@pytest.mark.parametrize(
    "fields", [PASSWORDS, TOKENS, TOKENS | {"kafka_sasl_oauth_hook": "", "kafka_extra_config": OIDC}]
)
def test_a_password_a_hook_or_librdkafkas_own_method_is_enough_to_log_in(fields: dict[str, object]) -> None:
    assert load_settings(**fields).kafka_sasl_mechanism == fields["kafka_sasl_mechanism"]


@pytest.mark.parametrize("name", sorted(GUARDED_CLIENT_SETTINGS))
def test_no_client_property_that_carries_a_guarantee_can_be_overridden(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings(kafka_extra_config={name: "x"})


def test_an_error_never_quotes_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "hunter2://nonsense")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("MAX_BATCH_RECORDS", "hunter2")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(load_settings(max_batch_records=1, redis_url=""))
