"""POST /predict over a real socket: what a caller can rely on, in good times and in bad ones."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumer.health import Vital
from consumer.jobs import ModelGoneError
from schemas import Prediction
from tests.fakes import WordEngine
from tests.http_serving import HeldEngine, Reply, Server, callers, held_up, serving, wait_until


def error_of(reply: Reply) -> dict[str, Any]:
    error: dict[str, Any] = reply.body["error"]
    assert error["code"] == reply.status
    return error


def labels_of(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [p["tags"]["toxicity"]["label"] for p in reply.body["predictions"]]


def test_texts_get_the_tags_the_decision_and_the_provenance_of_the_streams_events_in_their_order() -> None:
    with serving() as server:
        reply = server.predict("You are awful", "  Lovely!\n", "You are awful")
        assert labels_of(reply) == ["toxic", "clean", "toxic"]
        first = Prediction.model_validate_json(json.dumps(reply.body["predictions"][0]))
        assert (first.decision.action, first.model.name, first.answered_by) == ("reject", "words", "model")
        assert server.engine.classified == ["you are awful", "lovely!"]
        assert server.predict("Lovely!").body["predictions"][0]["answered_by"] == "memory"
        texts = {
            p: server.services.metrics.registry.get_sample_value("moderation_http_texts_total", {"layer": p})
            for p in ("model", "memory")
        }
        assert texts == {"model": 3, "memory": 1}


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", ""])
def test_one_text_is_enough_and_curl_needs_no_header_for_it(content_type: str) -> None:
    with serving() as server:
        comment = {"id": "c-1", "text": "Lovely!", "thread_id": "t-9"}
        reply = server.ask("POST", "/predict", json.dumps(comment).encode(), {"Content-Type": content_type})
        assert labels_of(reply) == ["clean"]


def test_texts_of_concurrent_callers_are_classified_together() -> None:
    engine = HeldEngine()
    with serving(engine) as server, callers(24) as pool:
        with held_up(server, engine) as first:
            replies = [pool.submit(server.predict, f"text {number}") for number in range(24)]
            wait_until(lambda: server.waiting_texts == 24)
        assert [labels_of(reply.result()) for reply in [first, *replies]] == [["clean"]] * 25
        assert engine.batches == 4  # the first alone, then three passes of eight


def test_a_request_beyond_the_queue_is_told_when_to_come_back_while_health_and_metrics_still_answer() -> None:
    engine = HeldEngine()
    with serving(engine, http_max_waiting_texts=256) as server, callers(64) as pool:
        with held_up(server, engine):
            replies = [pool.submit(server.predict, *(f"{caller}-{n}" for n in range(4))) for caller in range(64)]
            wait_until(lambda: server.waiting_texts == 256)
            refused = server.predict("one more")
            assert (refused.status, error_of(refused)["status"]) == (429, "RESOURCE_EXHAUSTED")
            assert int(refused.headers["retry-after"]) >= 1
            assert [server.get(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
        assert [reply.result().status for reply in replies] == [200] * 64
        assert server.predict("one more").status == 200


@pytest.mark.parametrize(("setting_ms", "header"), [(50, {}), (3_600_000, {"X_Request_Timeout_Ms": "50"})])
def test_a_caller_who_cannot_wait_gets_504_and_what_still_waits_costs_nothing(
    setting_ms: int, header: dict[str, str]
) -> None:
    engine = HeldEngine()
    with serving(engine, http_timeout_ms=setting_ms) as server:
        with held_up(server, engine):
            late = server.predict("too late", **header)
        assert (late.status, error_of(late)["status"]) == (504, "DEADLINE_EXCEEDED")
        wait_until(lambda: server.waiting_texts == 0)
        assert engine.classified == ["the first"]


def test_a_caller_cannot_ask_for_more_time_than_the_setting_gives() -> None:
    engine = HeldEngine()
    with serving(engine, http_timeout_ms=100) as server, held_up(server, engine):
        assert server.predict("patient", X_Request_Timeout_Ms="3600000").status == 504


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1e3", "", "9" * 5_000])
def test_a_time_that_cannot_be_read_is_refused_with_the_headers_name(value: str) -> None:
    with serving() as server:
        reply = server.predict("Lovely!", X_Request_Timeout_Ms=value)
        assert reply.status == 422
        assert "X-Request-Timeout-Ms" in error_of(reply)["message"]


def test_texts_whose_caller_has_gone_away_are_not_classified() -> None:
    engine = HeldEngine()
    with serving(engine) as server:
        with held_up(server, engine):
            body = b'{"text": "nobody waits for this"}'
            with server.connect() as connection:
                connection.sendall(
                    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
                wait_until(lambda: server.waiting_texts == 1)
            wait_until(lambda: server.count("/predict", 499) == 1)
        wait_until(lambda: server.waiting_texts == 0)
        assert engine.classified == ["the first"]


def test_a_text_the_model_fails_on_is_named_by_its_place_and_the_others_can_be_asked_again() -> None:
    with serving() as server:
        reply = server.predict("fine", "this is poison")
        assert reply.status == 422
        assert (
            error_of(reply)["message"] == "The model cannot answer the text at index 1: the text makes the model fail."
        )
        assert server.predict("fine").status == 200


def test_before_the_model_is_loaded_callers_are_told_to_come_back_and_the_process_counts_as_alive() -> None:
    with serving(loading=True) as server:
        early = server.predict("Lovely!")
        assert (early.status, early.headers["retry-after"]) == (503, "5")
        assert server.get("/healthz").status == 200
        ready = server.get("/readyz")
        assert (ready.status, ready.body["status"]) == (503, "failing")
        assert ready.body["problems"] == {"process": "is starting: the model is being loaded"}
        server.load()
        wait_until(lambda: server.get("/readyz").status == 200)
        assert server.predict("Lovely!").status == 200


def test_while_it_stops_it_takes_no_new_caller_and_answers_what_it_has_taken() -> None:
    engine = HeldEngine()
    with serving(engine) as server:
        with held_up(server, engine) as first:
            server.begin_to_stop()
            wait_until(lambda: is_refused(server))
        assert labels_of(first.result()) == ["clean"]


def is_refused(server: Server) -> bool:
    try:
        server.connect().close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: the port was closed in mid-handshake
        return True
    return False


def test_a_dead_stage_fails_health_and_readiness_and_a_warning_fails_nothing() -> None:
    with serving() as server:
        server.services.health.warn("cache", lambda: "works without Redis")
        degraded = server.get("/healthz")
        assert (degraded.status, degraded.body["status"]) == (200, "degraded")
        assert degraded.body["warnings"] == {"cache": "works without Redis"}
        server.services.health.watch(lambda: [Vital("publish", alive=False, moved_at_s=time.monotonic())])
        for path in ("/healthz", "/readyz"):
            failing = server.get(path)
            assert (failing.status, failing.body["status"]) == (503, "failing")
            assert failing.body["problems"] == {"publish": "dead"}


def test_a_model_that_breaks_is_503_for_its_callers_and_ends_the_process_with_its_error() -> None:
    engine = WordEngine()
    server = Server(engine)
    engine.broken = True
    reply = server.predict("Lovely!")
    assert (reply.status, error_of(reply)["status"]) == (503, "UNAVAILABLE")
    assert int(reply.headers["retry-after"]) >= 1
    server.join()
    assert isinstance(server.error, ModelGoneError)


class Buggy:
    """A predictor with a bug whose error quotes the text."""

    async def predict(self, texts: Sequence[str], _timeout_s: float) -> list[Prediction]:
        raise KeyError(texts[0])


def test_a_bug_is_500_and_the_log_says_where_without_saying_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server, capture_logs() as logs:
        server.services.predictor = Buggy()  # type: ignore[assignment]
        reply = server.predict("a secret text")
        assert (reply.status, error_of(reply)["status"]) == (500, "INTERNAL")
        [bug] = [entry for entry in logs if entry["event"] == "http_bug"]
        assert bug["error"] == "KeyError"
        assert "test_http.py" in bug["frames"]
        assert "secret" not in str(logs) + caplog.text + str(reply)


def test_requests_are_counted_by_route_and_status_and_made_up_paths_as_one() -> None:
    with serving() as server:
        server.predict("Lovely!")
        server.predict()
        for path in ("/nothing", "/predict/", "/docs/assets/favicon.png", "/%00"):
            server.get(path)
        wait_until(lambda: server.count("other", 404) == 3)
        assert server.count("/predict", 200) == server.count("/predict", 422) == server.count("other", 200) == 1
        seconds = server.services.metrics.registry.get_sample_value(
            "moderation_http_request_seconds_count", {"route": "/predict"}
        )
        assert seconds == 2
