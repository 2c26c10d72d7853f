"""Which range is tagged again, under which names, and a source that ends exactly where the range does."""

import time

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from consumer.cli import app
from consumer.kafka.range_source import TimeRange
from consumer.parts import Alarm
from consumer.reprocess import Outcomes, settings_of_run
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.terminal.moment import moment_ms, moment_text
from schemas import DeadLetterReason

HOUR_MS = 3_600_000
BEGIN_MS = 1_772_357_400_000
RANGE = TimeRange(BEGIN_MS, BEGIN_MS + HOUR_MS)


def group(settings: Settings, time_range: TimeRange = RANGE, results_topic: str = "again") -> str:
    return settings_of_run(settings, time_range, results_topic).kafka_group_id


def test_the_same_range_into_the_same_topic_is_the_same_group_and_anything_else_is_another() -> None:
    first = group(Settings())
    assert first.startswith("comment-moderation-reprocess-")
    assert group(Settings(model="another", policy_review={"toxicity.toxic": 0.1})) == first
    others = [
        group(Settings(), TimeRange(RANGE.from_ms + 1, RANGE.to_ms)),
        group(Settings(), TimeRange(RANGE.from_ms, RANGE.to_ms + 1)),
        group(Settings(), results_topic="again-2"),
        group(Settings(input_topic="posts")),
        group(Settings(kafka_group_id="team-b")),
    ]
    assert len({first, *others}) == 6


def test_a_run_has_its_own_topics_and_begins_nowhere_but_in_its_range() -> None:
    live = Settings(kafka_auto_offset_reset="latest", kafka_group_protocol="consumer")
    run = settings_of_run(live, RANGE, "again")
    assert (run.input_topic, run.results_topic, run.dead_letter_topic) == ("comments", "again", "again.dead-letter")
    assert run.kafka_auto_offset_reset == "earliest"
    assert live.results_topic == "comments.tagged"


@pytest.mark.parametrize("taken", ["comments", "comments.tagged", "comments.dead-letter", "comments.feedback"])
def test_topics_of_the_stream_are_refused_as_results_topic(taken: str) -> None:
    with pytest.raises(SettingsError, match=f"{taken} is .*_TOPIC of the stream itself"):
        settings_of_run(Settings(), RANGE, taken)


def test_a_results_topic_whose_dead_letter_topic_is_the_streams_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"tagged\.dead-letter is DEAD_LETTER_TOPIC of the stream"):
        settings_of_run(Settings(dead_letter_topic="tagged.dead-letter"), RANGE, "tagged")


@pytest.mark.parametrize("name", ["", "two words", "x" * 239])
def test_a_results_topic_that_kafka_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="--results-topic is no topic's name"):
        settings_of_run(Settings(), RANGE, name)


@pytest.mark.parametrize("to_ms", [BEGIN_MS, BEGIN_MS - 1])
def test_a_range_that_ends_where_it_begins_or_before_is_refused(to_ms: int) -> None:
    with pytest.raises(SettingsError, match="--from must be before --to"):
        settings_of_run(Settings(), TimeRange(BEGIN_MS, to_ms), "again")


def test_a_range_that_is_not_over_yet_is_refused() -> None:
    with pytest.raises(SettingsError, match="--to lies in the future"):
        settings_of_run(Settings(), TimeRange(BEGIN_MS, int(time.time() * 1000) + HOUR_MS), "again")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T09:30:00Z", BEGIN_MS),
        ("2026-03-01T10:30:00.2919+01:00", BEGIN_MS + 291),
        ("1969-12-31T23:59:59Z", 0),
    ],
)
def test_a_time_is_understood_with_its_offset_and_to_the_millisecond(text: str, expected: int) -> None:
    assert moment_ms(text) == expected


@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-01T09:30:00", "1772357400", "yesterday"])
def test_a_time_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="RFC 3339"):
        moment_ms(text)


def test_a_time_is_shown_in_utc() -> None:
    assert moment_text(BEGIN_MS) == "2026-03-01T09:30:00Z"
    assert moment_text(BEGIN_MS + 291) == "2026-03-01T09:30:00.291Z"


@pytest.mark.parametrize("missing", ["--from", "--to", "--results-topic"])
def test_the_command_wants_both_ends_and_a_topic(missing: str) -> None:
    given = {"--from": "2026-03-01T09:30:00Z", "--to": "2026-03-01T10:30:00Z", "--results-topic": "again"}
    arguments = [part for name, value in given.items() if name != missing for part in (name, value)]
    result = CliRunner().invoke(app, ["reprocess", *arguments], env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert result.exit_code == 2
    assert missing in result.stderr


def test_outcomes_are_counted_and_a_result_that_was_too_large_is_not_tagged() -> None:
    outcomes = Outcomes()
    outcomes.count([None, None, None, DeadLetterReason.NOT_JSON])
    outcomes.count([DeadLetterReason.RESULT_TOO_LARGE])  # counted when its dead letter takes the place of its result
    assert outcomes.tagged == 2
    assert outcomes.dead_letters == {DeadLetterReason.NOT_JSON: 1, DeadLetterReason.RESULT_TOO_LARGE: 1}


def test_a_run_of_nothing_but_dead_letters_rings_no_alarm_and_is_not_held() -> None:
    outcomes: Alarm = Outcomes()
    with capture_logs() as logs:
        outcomes.count([DeadLetterReason.NOT_JSON] * 1_000)
        assert not outcomes.poll()
    assert logs == []
