"""`moderate dead-letters` against brokers: listing and showing safely, and how the commands end."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from structlog.testing import capture_logs

from consumer.dead_letters import Position
from consumer.kafka.clients import KafkaUnavailableError
from consumer.kafka.replay import ReplayError
from consumer.settings import Settings
from consumer.terminal.dead_letter_show import NoSuchRecordError, show_dead_letter
from consumer.terminal.dead_letters import list_dead_letters
from tests.buried import (
    ALL,
    bury,
    bury_one,
    replay,
    replayed_values,
)
from tests.integration.conftest import MakeSettings
from tests.integration.test_process import COMMAND, environment

pytestmark = pytest.mark.slow


def test_the_dead_letters_of_either_broker_are_listed_and_other_records_are_only_counted(
    make_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings()
    bury(settings, 5)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    producer.produce(settings.dead_letter_topic, value=b"hello", headers=[("\x1b[31m", b"\xff")])
    producer.produce(settings.dead_letter_topic, value=b"hello", headers=[("dlq.reason", b"because")])
    assert producer.flush(30) == 0
    list_dead_letters(settings, ALL, as_json=False, stopping=lambda: False)
    shown = capsys.readouterr().out
    assert "5 dead letters, 0 replayed" in shown
    assert "left out: 2 records of other kinds" in shown


def test_a_hostile_dead_letter_is_shown_without_an_escape_and_its_bytes_come_raw(
    make_settings: MakeSettings, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    settings = make_settings()
    hostile = b"\x1b]0;owned\x07\x1b[31mred \xe2\x80\xae rtl\r\n"
    bury_one(settings, 1, own_headers=[("\x1b[2J", b"\x1b[H"), ("bin", b"\x00\xff")], value=hostile)
    bury_one(settings, 1, value=b"\xff" + os.urandom(1_000_000))
    bury_one(settings, 1, value=None)
    for offset in range(3):
        show_dead_letter(settings, Position(1, offset), raw=False, full=False, stopping=lambda: False)
    shown = capfdbinary.readouterr().out.decode()
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "owned" in shown
    assert "header    bin = (hex) 00 ff" in shown
    assert "1,000,001 bytes, not UTF-8" in shown
    assert "(no value: a tombstone)" in shown
    show_dead_letter(settings, Position(1, 0), raw=True, full=False, stopping=lambda: False)
    assert capfdbinary.readouterr().out == hostile


def test_a_receipt_is_shown_as_one(make_apache_settings: MakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_apache_settings()
    bury_one(settings, 1)
    assert replay(settings)
    show_dead_letter(settings, Position(1, 1), raw=False, full=False, stopping=lambda: False)
    assert "1:0 was replayed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("position", "sentence"),
    [
        (Position(9, 0), "has no partition 9"),
        (Position(1, 5), "offsets 0 to 0; the marks of"),
        (Position(2, 0), r"is empty\.$"),
    ],
)
def test_a_place_without_a_record_is_said_in_a_sentence(
    make_apache_settings: MakeSettings, position: Position, sentence: str
) -> None:
    settings = make_apache_settings()
    bury_one(settings, 1)
    with pytest.raises(NoSuchRecordError, match=sentence):
        show_dead_letter(settings, position, raw=False, full=False, stopping=lambda: False)


def test_brokers_that_are_not_there_are_said_once_with_the_settings_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.kafka.topics.REACH_TIMEOUT_S", 2.0)
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    commands: list[Callable[[], object]] = [
        lambda: list_dead_letters(settings, ALL, as_json=False, stopping=lambda: False),
        lambda: show_dead_letter(settings, Position(0, 0), raw=False, full=False, stopping=lambda: False),
        lambda: replay(settings),
    ]
    with capture_logs() as logs:
        for command in commands:
            with pytest.raises(KafkaUnavailableError, match=r"No Kafka broker answered at .*KAFKA_SECURITY_PROTOCOL"):
                command()
    assert logs == [], "the error says all of it"


def test_a_topic_that_is_not_there_is_said_in_a_sentence(make_apache_settings: MakeSettings) -> None:
    settings = make_apache_settings().model_copy(update={"dead_letter_topic": "no-such-topic"})
    with pytest.raises(KafkaUnavailableError, match="no-such-topic cannot be read"):
        list_dead_letters(settings, ALL, as_json=False, stopping=lambda: False)
    with pytest.raises(KafkaUnavailableError, match="no-such-topic cannot be read"):
        replay(settings)


def test_a_replay_into_a_topic_that_is_not_there_is_refused_and_does_not_create_it(
    make_apache_settings: MakeSettings,
) -> None:
    settings = make_apache_settings()
    bury_one(settings, 0)
    for _ in range(2):
        with pytest.raises(ReplayError, match="have no topic no-such-input to replay into"):
            replay(settings.model_copy(update={"input_topic": "no-such-input"}))


def test_the_commands_end_with_the_status_of_what_they_did(make_apache_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_apache_settings()
    bury_one(settings, 0)

    env = environment(settings, COLUMNS="40")

    def moderate(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "dead-letters", *arguments]
        process = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in process.stderr
        return process

    listed = json.loads(moderate("list", "--json").stdout)
    assert listed["dead_letters"] == 1
    shown = moderate("list").stdout
    (of_reason,) = listed["reasons"]
    assert of_reason["newest"][:19] in shown, "a time is cut, which --since could take"
    assert " 0:0" in shown
    assert "1 dead letter, 0 replayed" in shown
    assert moderate("show", "0:0").returncode == 0
    assert moderate("show", "0:5").returncode == 1
    assert moderate("replay").returncode == 2
    assert moderate("replay", "--offset", "0:0", "--offset", "0:5").returncode == 1
    assert moderate("replay", "--reason", "not-json", "--since", "2020-01-01T00:00:00Z").returncode == 0
    assert replayed_values(settings) == [b"broken"]
