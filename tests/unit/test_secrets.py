"""Secrets from files, as Docker and Kubernetes give them: `NAME_FILE` names one."""

import os
from pathlib import Path

import pytest

from consumer.settings import Settings
from consumer.settings_parsing import SettingsError, known_names, load_settings, misspelled, secret_names
from consumer.terminal.settings_table import rows

pytestmark = pytest.mark.usefixtures("empty_directory")

SECRET = "redis://:hunter2@cache:6379/0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def redis_url(settings: Settings) -> str:
    return settings.redis_url.get_secret_value()


def test_the_passwords_the_redis_address_and_the_cache_key_can_come_from_files() -> None:
    assert secret_names() == [
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_KEY_PASSWORD",
        "REDIS_URL",
        "CACHE_SECRET",
        "HTTP_TOKEN",
    ]


@pytest.mark.parametrize("name", secret_names())
def test_a_secret_is_the_content_of_the_file_that_the_environment_names(
    name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{name}_FILE", str(file))
    assert getattr(load_settings(), name.lower()).get_secret_value() == SECRET


def test_a_secret_is_the_content_of_the_file_that_env_file_names(empty_directory: Path, file: Path) -> None:
    (empty_directory / ".env").write_text(f"REDIS_URL_FILE={file}\n")
    assert redis_url(load_settings()) == SECRET


@pytest.mark.parametrize("content", [SECRET, SECRET + "\n", SECRET + "\r\n", "\ufeff" + SECRET + "\r\n"])
def test_one_line_break_at_the_end_and_a_byte_order_mark_are_not_part_of_the_secret(
    content: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(content.encode())
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    assert redis_url(load_settings()) == SECRET


def test_other_white_space_is_part_of_the_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("  two\t\n")
    monkeypatch.setenv("CACHE_SECRET_FILE", str(file))
    assert load_settings().cache_secret.get_secret_value() == "  two\t"


def test_the_environment_wins_over_env_file_for_files_too(
    empty_directory: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_directory / ".env").write_text("REDIS_URL_FILE=/nowhere\nINPUT_TOPIC=from-env-file\nRESULTS_TOPIC=mine\n")
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    monkeypatch.setenv("INPUT_TOPIC", "from-environment")
    settings = load_settings()
    assert redis_url(settings) == SECRET
    assert (settings.input_topic, settings.results_topic) == ("from-environment", "mine")
    assert {"input_topic", "results_topic", "redis_url"} == settings.model_fields_set


def test_what_the_program_itself_sets_wins_over_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL_FILE", "/nowhere")
    assert redis_url(load_settings(redis_url="")) == ""


@pytest.mark.parametrize("empty", ["REDIS_URL", "CACHE_SECRET_FILE"])
def test_an_empty_name_counts_as_not_set(empty: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(empty, "")
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    settings = load_settings()
    assert redis_url(settings) == SECRET
    assert settings.cache_secret.get_secret_value() == ""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"REDIS_URL_FILE names a file that cannot be read \(FileNotFoundError\)"),
        (b"", "REDIS_URL_FILE names a file that is empty"),
        (b"\n", "REDIS_URL_FILE names a file that is empty"),
        (b"hunter2\n\n", "REDIS_URL_FILE names a file that holds several lines or a control character"),
        (b"hunter2\rhunter3\r", "REDIS_URL_FILE names a file that holds several lines or a control character"),
        (b"hunter2\0", "REDIS_URL_FILE names a file that holds several lines or a control character"),
        ("hunter2\n".encode("utf-16"), "REDIS_URL_FILE names a file that is not UTF-8 text"),
        (b"hunter2 " * 10_000, "REDIS_URL_FILE names a file that is larger than 65,536 bytes"),
        (b"hunter2\xff", "REDIS_URL_FILE names a file that is not UTF-8 text"),
        (b"hunter2", "REDIS_URL must begin with"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_in_a_sentence_that_quotes_neither_path_nor_content(
    content: bytes | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hunter3"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("REDIS_URL_FILE", str(path))
    with pytest.raises(SettingsError, match=sentence) as raised:
        load_settings()
    assert "hunter" not in str(raised.value)


def test_a_directory_is_no_file_with_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_SECRET_FILE", str(tmp_path))
    with pytest.raises(SettingsError, match="CACHE_SECRET_FILE names a file that cannot be read"):
        load_settings()


def test_a_pipe_is_no_file_with_a_secret_and_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("CACHE_SECRET_FILE", str(tmp_path / "pipe"))
    with pytest.raises(SettingsError, match="CACHE_SECRET_FILE names a file that is a pipe or a device"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "HTTP_TOKEN",
            '"hunter2"',
            r"HTTP_TOKEN has quotes around its value.*, or give it in a file that HTTP_TOKEN_FILE",
        ),
        ("HTTP_TOKEN", "'hunter2'", "HTTP_TOKEN has quotes around its value"),
        (
            "HTTP_TOKEN",
            "hunter2\n",
            "HTTP_TOKEN begins or ends with white space or a line break; remove it, or give it",
        ),
        ("KAFKA_SASL_PASSWORD", " hunter2", "KAFKA_SASL_PASSWORD begins or ends with white space"),
        ("HTTP_TOKEN_FILE", "/run/hunter2\r\n", "HTTP_TOKEN_FILE begins or ends with white space or a line break"),
        ("KAFKA_SASL_PASSWORD", "hunter2\nhunter3", "KAFKA_SASL_PASSWORD holds a line break or another control"),
        (
            "INPUT_TOPIC",
            '"hunter2"',
            r"INPUT_TOPIC has quotes around its value, which would be part of it; leave them out\.",
        ),
        ("KAFKA_EXTRA_CONFIG", "'{\"a\": 1}'", "KAFKA_EXTRA_CONFIG has quotes around its value"),
        ("DELIVERY", '"exactly-once"', "DELIVERY has quotes around its value"),
    ],
)
def test_what_is_left_around_a_value_in_the_environment_is_refused_and_not_quoted(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence) as raised:
        load_settings()
    assert "hunter" not in str(raised.value)


def test_white_space_around_a_number_or_an_object_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_BATCH_RECORDS", "7\n")
    monkeypatch.setenv("POLICY_REVIEW", '{"toxicity.toxic":\n 0.5}\n')
    assert load_settings().max_batch_records == 7


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_secret_and_its_file_cannot_both_be_set(
    place: str, empty_directory: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    if place == ".env":
        (empty_directory / ".env").write_text(f"REDIS_URL={SECRET}\n")
    else:
        monkeypatch.setenv("REDIS_URL", SECRET)
    with pytest.raises(SettingsError, match="REDIS_URL and REDIS_URL_FILE are both set; remove one") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


def test_only_secrets_have_files(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("RESULTS_TOPIC_FILE=/topic\n")
    with pytest.raises(SettingsError, match="RESULTS_TOPIC_FILE, which is not a setting; did you mean RESULTS_TOPIC"):
        load_settings()


def test_the_name_of_a_secrets_file_is_no_misspelling_but_can_be_misspelled() -> None:
    environment = {f"{name}_FILE": "/run/secrets/x" for name in secret_names()} | {"KAFKA_SASL_PASWORD_FILE": "/x"}
    (warning,) = misspelled(environment, known_names())
    assert warning.endswith("KAFKA_SASL_PASWORD_FILE, which is not a setting; did you mean KAFKA_SASL_PASSWORD_FILE?")


def test_the_table_of_settings_says_which_secrets_may_come_from_a_file() -> None:
    meanings = {name: meaning for name, _, meaning in rows()}
    in_files = {name for name, meaning in meanings.items() if f"Or a file: `{name}_FILE`." in meaning}
    assert in_files == set(secret_names())
