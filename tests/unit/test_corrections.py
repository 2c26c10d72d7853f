"""Corrections on their way to Kafka, where Kafka is not there: every caller hears of it, and none waits for ever."""

from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from consumer.errors import NotTakenError
from consumer.kafka.corrections import MOST_WAITING, open_corrections
from consumer.settings import Settings
from schemas import CorrectedLabels, Feedback

NOBODY = "127.0.0.1:1"
SECRET = "a secret text"


def feedback(number: int) -> Feedback:
    return Feedback(
        comment_id=f"c-{number}",
        text=f"{SECRET} {number}",
        labels=CorrectedLabels(toxicity="toxic"),
        moderator_id="m",
        at=datetime.now(UTC),
    )


def test_without_brokers_each_caller_is_told_no_more_wait_than_may_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("consumer.kafka.corrections.ACKNOWLEDGED_WITHIN_S", 1.0)
    with capture_logs() as logs, ExitStack() as stack:
        publish = open_corrections(Settings(kafka_bootstrap_servers=NOBODY), stack)
        answers = [publish(feedback(number)) for number in range(3 * MOST_WAITING)]
        at_once = [answer for answer in answers if answer.done()]
        assert len(at_once) >= MOST_WAITING
        for answer in answers:
            with pytest.raises(NotTakenError):
                answer.result(timeout=60)
    said = [entry for entry in logs if entry["event"] == "corrections_not_published"]
    assert len(said) == 1
    assert "FEEDBACK_TOPIC" in said[0]["error"]
    assert SECRET not in str(logs)


def test_a_client_that_cannot_be_made_is_told_in_its_own_words_and_the_next_caller_too() -> None:
    with ExitStack() as stack:
        settings = Settings(kafka_bootstrap_servers=NOBODY, kafka_extra_config={"no.such.property": "hunter2"})
        publish = open_corrections(settings, stack)
        for number in range(2):
            with pytest.raises(NotTakenError, match="Kafka's client refuses the configuration") as raised:
                publish(feedback(number)).result(timeout=60)
            assert "hunter2" not in str(raised.value)
