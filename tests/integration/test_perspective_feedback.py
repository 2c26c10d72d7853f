"""`comments:suggestscore` of a running member: from a client's score to a row that is trained on."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from structlog.testing import capture_logs

from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from consumer.terminal.feedback import collect
from consumer.training.data import Row
from consumer.training.feedback import read_feedback
from tests.http_member import running_member
from tests.http_serving import TIMEOUT_S, Reply, free_port, read_reply
from tests.integration.conftest import MakeSettings
from tests.stream import comment, produce, subscriber

SUGGEST = "/v1alpha1/comments:suggestscore"


def make_topic(settings: Settings) -> Settings:
    """The embedded broker has a topic once it is asked for by its name."""
    Producer({"bootstrap.servers": settings.kafka_bootstrap_servers}).list_topics(settings.feedback_topic, timeout=30)
    return settings


def suggesting(text: str, value: float, **more: Any) -> dict[str, Any]:
    return {"comment": {"text": text}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": value}}}} | more


def post(port: int, path: str, body: Any) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body).encode())
        return read_reply(connection)
    finally:
        connection.close()


def collected(settings: Settings, directory: Path) -> list[Row]:
    collect(settings, directory, "", idle_s=20.0, follow=False, stopping=lambda: False)
    return read_feedback(directory)


def records(settings: Settings, count: int) -> list[Message]:
    """The first records of the feedback topic."""
    reader = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "test-corrections"})
    try:
        partitions = reader.list_topics(settings.feedback_topic, timeout=30).topics[settings.feedback_topic].partitions
        reader.assign([TopicPartition(settings.feedback_topic, partition, 0) for partition in partitions])
        found: list[Message] = []
        while len(found) < count:
            message = reader.poll(30)
            assert message is not None, f"{len(found)} of {count} records came"
            assert message.error() is None
            found.append(message)
        return found
    finally:
        reader.close()


def test_a_suggested_score_is_answered_when_it_is_in_kafka_and_becomes_a_row_to_train_on(
    make_stream_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_topic(make_stream_settings(http_port=free_port()))
    token = {"clientToken": "comment:7", "communityId": "Coral:https://site.example", "languages": ["en"]}
    with running_member(settings) as port:
        assert post(port, SUGGEST, suggesting("you fool", 0, **token)).status == 200
        reply = post(port, SUGGEST, suggesting("you fool", 1, **token))
        assert (reply.status, reply.body) == (200, {"clientToken": "comment:7", "requestedLanguages": ["en"]})
        sent = records(settings, 2)
        rows = collected(settings, tmp_path / "corrections")
    assert rows == [Row("you fool", {"toxicity": "toxic"}, "feedback")]
    values = [json.loads(message.value() or b"") for message in sent]
    assert {message.key() for message in sent} == {values[0]["comment_id"].encode()}
    assert {value["moderator_id"] for value in values} == {"perspective:Coral:https://site.example"}


def test_many_callers_at_once_are_each_answered_and_no_correction_is_lost(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_topic(make_settings(http_port=free_port()))
    with running_member(settings) as port, ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: post(port, SUGGEST, suggesting(f"text {n}", n % 2)), range(100)))
    assert [reply.status for reply in replies] == [200] * 100
    rows = {row.text: row.labels["toxicity"] for row in collected(settings, tmp_path / "corrections")}
    assert rows == {f"text {n}": ("clean", "toxic")[n % 2] for n in range(100)}


def test_a_feedback_topic_that_is_not_there_is_the_callers_news_and_ends_no_member(
    make_apache_settings: MakeSettings, tmp_path: Path
) -> None:
    known = make_apache_settings(http_port=free_port())
    settings = known.model_copy(update={"feedback_topic": f"{known.feedback_topic}-late"})
    with capture_logs() as logs, running_member(settings) as port, subscriber(settings) as results:
        for _ in range(2):
            reply = post(port, SUGGEST, suggesting("you fool", 1))
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) >= 1
            assert settings.feedback_topic in reply.body["error"]["message"]
            assert "FEEDBACK_TOPIC" in reply.body["error"]["message"]
        produce(settings, [comment("c-1", "awful")])
        results.read(1)
        create_topics(settings)
        reply = post(port, SUGGEST, suggesting("you fool", 1))
        assert reply.status == 200, reply
    said = [entry for entry in logs if entry["event"] == "corrections_not_published"]
    assert len(said) == 1
    assert "you fool" not in str(logs)
    assert [row.text for row in collected(settings, tmp_path / "corrections")] == ["you fool"]


def test_what_is_refused_is_never_published(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_topic(make_settings(http_port=free_port()))
    bodies = [{}, suggesting("", 1), suggesting("x", 2), suggesting("x", 1) | {"languages": 5}]
    with running_member(settings) as port:
        assert [post(port, SUGGEST, body).status for body in bodies] == [400] * len(bodies)
        assert post(port, SUGGEST, suggesting("taken", 1)).status == 200
    assert [row.text for row in collected(settings, tmp_path / "corrections")] == ["taken"]
