"""The hook of OAUTHBEARER: what it may return, and what is said when it does not."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.errors import ReaderError
from consumer.kafka.clients import common_config
from consumer.kafka.oauth import OAuthHookError, oauth_callback
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError

TOKEN = "hunter2-is-the-token"


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module with one function, whose body it is given, and returns its name as the setting takes it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(body: str) -> str:
        (tmp_path / "token_source.py").write_text(f"import time\ncalls = []\ndef token():\n    {body}\n")
        return "token_source:token"

    yield write
    sys.modules.pop("token_source", None)


def test_the_first_call_gets_the_token_of_the_start_and_later_calls_new_ones(hook: Callable[[str], str]) -> None:
    callback = oauth_callback(hook("calls.append(1); return f'token-{len(calls)}', time.time() + 3600"))
    tokens = [callback(None) for _ in range(3)]
    assert [token for token, _ in tokens] == ["token-1", "token-2", "token-3"]
    assert all(time.time() < expires_at_s < time.time() + 3601 for _, expires_at_s in tokens)


def test_the_hook_reaches_every_client_through_the_configuration(hook: Callable[[str], str]) -> None:
    settings = Settings(
        kafka_bootstrap_servers="x:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_sasl_oauth_hook=hook(f"return {TOKEN!r}, int(time.time()) + 60"),
    )
    assert common_config(settings)["oauth_cb"](None)[0] == TOKEN
    assert "oauth_cb" not in common_config(Settings(kafka_bootstrap_servers="x:1"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_module:token", "there is no module no_such_module; install it, or add its folder to PYTHONPATH"),
        ("token_source:no_such_function", "the module has no function no_such_function"),
        ("token_source:calls", "the module has no function calls"),
    ],
)
def test_a_hook_that_is_not_there_is_refused_in_a_sentence(
    name: str, sentence: str, hook: Callable[[str], str]
) -> None:
    hook("pass")
    with pytest.raises(SettingsError, match=sentence) as raised:
        oauth_callback(name)
    assert "KAFKA_SASL_OAUTH_HOOK" in str(raised.value)


def test_a_module_that_cannot_be_imported_is_refused_without_quoting_its_error(
    tmp_path: Path, hook: Callable[[str], str]
) -> None:
    name = hook("pass")
    (tmp_path / "token_source.py").write_text("raise KeyError('hunter2')")
    with pytest.raises(SettingsError, match="token_source raises KeyError") as raised:
        oauth_callback(name)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        "return None",
        f"return {TOKEN!r}",
        f"return {TOKEN.encode()!r}, time.time() + 60",
        "return '', time.time() + 60",
        f"return {TOKEN!r}, str(time.time() + 60)",
        f"return {TOKEN!r}, time.time() - 1",
        f"return {TOKEN!r}, (time.time() + 60) * 1000",
        f"return {TOKEN!r}, float('nan')",
        f"return {TOKEN!r}, time.time() + 60, 'principal'",
    ],
)
def test_what_is_no_token_with_a_time_in_the_future_is_refused_without_quoting_it(
    body: str, hook: Callable[[str], str]
) -> None:
    with capture_logs() as logs, pytest.raises(OAuthHookError, match="KAFKA_SASL_OAUTH_HOOK=token_source:token") as no:
        oauth_callback(hook(body))
    assert "hunter2" not in str(no.value) + str(logs)


def test_a_hook_that_fails_later_is_logged_with_its_place_and_without_its_words(hook: Callable[[str], str]) -> None:
    callback = oauth_callback(
        hook(f"calls.append(1); return ('x', time.time() + 60) if len(calls) == 1 else int({TOKEN!r})")
    )
    assert callback(None)[0] == "x"
    with capture_logs() as logs, pytest.raises(ReaderError, match="raised ValueError") as raised:
        callback(None)
    (entry,) = logs
    assert (entry["event"], entry["error"]) == ("oauth_hook_failed", "ValueError")
    assert "token_source.py" in str(entry["frames"])
    # Frames have lines of code, and this hook has its token in its code.
    frames = [line for line in entry["frames"].splitlines() if "File " in line]
    assert "hunter2" not in str({**entry, "frames": frames}) + str(raised.value)
