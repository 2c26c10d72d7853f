"""The stages together, with parts that can be steered."""

import json
import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumer.batch import Decoded, Refusal
from consumer.decode import decode
from consumer.kafka.publisher import PublishError
from consumer.micro_batcher import TURN_TEXTS
from consumer.pipeline import PipelineError
from schemas import MAX_TEXT_CHARACTERS, DeadLetterReason
from schemas.dead_letter import from_kafka
from tests.fakes import DictCache, WordEngine
from tests.pipeline_bench import Bench, ListSource, wait_until


def test_every_record_comes_out_in_order_and_its_offset_is_committed_after() -> None:
    bench = Bench()
    bench.run(*(bench.texts(*(f"text {n} {i}" for i in range(5))) for n in range(20)))
    assert [m.record.offset for m in bench.checkpoint.published] == list(range(100))
    assert bench.checkpoint.committed == [{0: 5 * (n + 1)} for n in range(20)]


def test_one_bad_record_never_takes_its_batch_with_it() -> None:
    bench = Bench()
    good = json.dumps({"id": "a", "text": "fine"}).encode()
    bench.run(bench.batch(good, b"\xff", None, b"{}", json.dumps({"id": "p", "text": "poison"}).encode(), good))
    reasons = [
        dict(m.headers)["dlq.reason"].decode() if m.is_dead_letter else "tagged"  # type: ignore[union-attr]
        for m in bench.checkpoint.published
    ]
    assert reasons == ["tagged", "not-utf-8", "tombstone", "not-the-contract", "text-fails-model", "tagged"]


@pytest.mark.parametrize("error", [ValueError("my secret"), RecursionError(), KeyError("my secret"), UnicodeError()])
@pytest.mark.parametrize("step", ["model_text", "key"])
def test_whatever_a_step_before_the_model_does_with_one_text_ends_in_its_own_dead_letter(
    monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    bench = Bench()
    part: Any = {"model_text": WordEngine, "key": DictCache}[step]
    whole_step = getattr(part, step)

    def fails_on_a_pill(part: Any, text: str) -> Any:
        if "pill" in text:
            raise error
        return whole_step(part, text)

    monkeypatch.setattr(part, step, fails_on_a_pill)
    bench.run(bench.texts("fine", "a pill", "good"), bench.texts("pill", "fine"))
    dead = [from_kafka(m.headers) for m in bench.checkpoint.published if m.is_dead_letter]
    assert [event.comment.text for event in bench.checkpoint.events()] == ["fine", "good", "fine"]
    assert [letter.offset for letter in dead] == [1, 3]
    assert {letter.reason for letter in dead} == {DeadLetterReason.TEXT_FAILS_MODEL}
    assert {letter.detail for letter in dead} == {f"cleaning failed on it: {type(error).__name__}"}
    assert bench.checkpoint.committed == [{0: 3}, {0: 5}]


def test_reading_that_fails_on_a_record_ends_in_its_own_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_or_fail(value: bytes | None) -> Decoded | Refusal:
        if value and b"pill" in value:
            raise RecursionError
        return decode(value)

    monkeypatch.setattr("consumer.pipeline.decode", decode_or_fail)
    bench = Bench()
    bench.run(bench.texts("fine", "pill", "good"))
    assert [event.comment.text for event in bench.checkpoint.events()] == ["fine", "good"]
    assert [m.record.offset for m in bench.checkpoint.published if m.is_dead_letter] == [1]


def test_a_lack_of_memory_is_no_text_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def no_memory(_text: str) -> str:
        raise MemoryError

    monkeypatch.setattr(bench.engine, "model_text", no_memory)
    with pytest.raises(PipelineError, match="stage prepare failed with MemoryError"):
        bench.run(bench.texts("fine"))
    assert bench.checkpoint.published == []


def test_fields_that_do_not_fit_are_counted_and_said_once_and_the_comment_is_tagged() -> None:
    bench = Bench()
    odd = json.dumps({"id": 1, "text": "fine", "language": "en_US", "author_id": 77}).encode()
    with capture_logs() as logs:
        bench.run(bench.batch(odd, odd), bench.batch(odd))
    said = [line for line in logs if line["event"] == "fields_do_not_fit"]
    assert len(bench.checkpoint.events()) == 3
    assert bench.metrics.registry.get_sample_value("moderation_misfits_total", {"field": "language"}) == 3
    assert bench.metrics.registry.get_sample_value("moderation_misfits_total", {"field": "metadata"}) == 0
    assert len(said) == 1
    assert set(said[0]["fields"]) == {"language", "author_id"}


def test_the_cut_of_a_text_is_told_by_its_event_alone_and_not_kept_with_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.fakes.LONGEST_SEEN", 10**6)
    cache = DictCache()
    bench = Bench(cache)
    longer, beginning = "ab " * MAX_TEXT_CHARACTERS, ("ab " * MAX_TEXT_CHARACTERS)[:MAX_TEXT_CHARACTERS]
    bench.run(bench.batch(*(json.dumps({"id": text[:9], "text": text}).encode() for text in (longer, beginning))))
    assert [event.truncated for event in bench.checkpoint.events()] == [True, False]
    assert not any(answer.truncated for answer in cache.answers.values())


def test_equal_texts_in_a_batch_are_classified_once() -> None:
    bench = Bench()
    bench.run(bench.texts("spam", "SPAM ", "other", "spam"))
    assert sorted(bench.engine.classified) == ["other", "spam"]
    assert [event.answered_by for event in bench.checkpoint.events()] == ["model", "memory", "model", "memory"]


def test_a_text_answered_by_the_batch_before_is_not_classified_again() -> None:
    cache = DictCache()
    bench = Bench(cache)
    bench.engine.gate.clear()
    first, second = bench.texts("spam"), bench.texts("spam")
    threading.Timer(0.3, bench.engine.gate.set).start()  # the second is looked up while the first is in the model
    bench.run(first, second)
    assert bench.engine.classified == ["spam"]
    assert [event.answered_by for event in bench.checkpoint.events()] == ["model", "memory"]


def test_the_next_batches_are_with_the_model_before_it_has_answered_the_first() -> None:
    bench = Bench()
    bench.engine.gate.clear()
    asked: list[str] = []

    def open_when_two_wait() -> None:
        wait_until(lambda: len(bench.batcher._bulks) == 2)
        asked.extend(bulk.texts[0] for bulk in bench.batcher._bulks)
        bench.engine.gate.set()

    opening = threading.Thread(target=open_when_two_wait)
    opening.start()
    # As many as a turn has: of smaller batches the model would take the second together with the first.
    bench.run(*(bench.texts(*(f"{n}-{place}" for place in range(TURN_TEXTS))) for n in range(5)))
    opening.join(20)
    assert asked == ["1-0", "2-0"]
    ids = [event.comment.id for event in bench.checkpoint.events()]
    assert ids == [f"c-{n}-{place}" for n in range(5) for place in range(TURN_TEXTS)]


def test_a_text_that_several_batches_in_flight_have_is_classified_once() -> None:
    bench = Bench(DictCache())
    bench.engine.gate.clear()
    threading.Timer(0.3, bench.engine.gate.set).start()
    bench.run(*(bench.texts("spam") for _ in range(9)))
    assert bench.engine.classified == ["spam"]
    assert [event.answered_by for event in bench.checkpoint.events()][:3] == ["model", "memory", "memory"]


def test_what_is_lost_before_it_was_prepared_is_not_asked_for() -> None:
    bench = Bench()
    bench.assignment.end([("comments", 0)])
    bench.run(bench.texts("a", "b"))
    assert bench.engine.classified == []
    assert bench.checkpoint.committed == [{}]


def test_a_poisonous_text_is_not_remembered() -> None:
    cache = DictCache()
    bench = Bench(cache)
    bench.run(bench.texts("poison", "fine"))
    assert list(cache.answers) == [b"fine"]


def test_what_is_lost_while_in_flight_is_neither_published_nor_committed() -> None:
    bench = Bench()
    bench.lose_the_partition_in_flight()
    bench.run(bench.texts("a", "b"), bench.texts("c"))
    assert bench.checkpoint.published == []
    assert bench.checkpoint.committed == [{}, {}]


def test_a_broken_model_ends_the_pipeline_with_its_error() -> None:
    bench = Bench()
    bench.engine.broken = True
    with pytest.raises(PipelineError, match="stage classify failed: the model is gone"):
        bench.run(bench.texts("a"), until=lambda: False)
    assert bench.checkpoint.committed == []


def test_a_failed_publication_ends_the_pipeline_and_commits_nothing() -> None:
    bench = Bench()
    bench.checkpoint.error = PublishError("no broker")
    with pytest.raises(PipelineError, match="stage publish failed: no broker"):
        bench.run(*(bench.texts(str(n)) for n in range(50)), until=lambda: False)


def test_a_full_pipeline_makes_the_source_wait_and_pauses_it_only_after_a_while() -> None:
    bench = Bench()
    bench.engine.seconds_per_text = 0.02
    quick = bench.run(*(bench.texts(f"{n}") for n in range(20)))
    assert quick.back_pressure < 200  # only the drain at the end polls; no batch waited for a second
    slow = Bench()
    slow.engine.gate.clear()
    threading.Timer(1.8, slow.engine.gate.set).start()
    source = slow.run(*(slow.texts(f"{n}") for n in range(8)))
    assert source.back_pressure > 0
    assert len(slow.checkpoint.published) == 8


def test_work_that_is_not_finished_by_the_shutdown_deadline_is_said_and_not_committed() -> None:
    bench = Bench(shutdown_timeout_s=0.3)
    bench.engine.gate.clear()
    with pytest.raises(PipelineError, match="SHUTDOWN_TIMEOUT_S"):
        bench.run(bench.texts("a"))
    assert bench.checkpoint.committed == []
    bench.end_stages()


def test_a_stop_while_the_pipeline_is_full_does_not_wait_beyond_the_shutdown_deadline() -> None:
    bench = Bench(shutdown_timeout_s=0.5)
    bench.engine.gate.clear()
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    with pytest.raises(PipelineError, match="SHUTDOWN_TIMEOUT_S"):
        bench.run(*(bench.texts(str(n)) for n in range(9)), until=stop.is_set)
    assert time.monotonic() - began < 5
    bench.end_stages()


def test_a_bug_in_a_stage_ends_the_pipeline_without_quoting_what_it_was_about(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.checkpoint.error = KeyError("somebody's private words")
    with pytest.raises(PipelineError, match="stage publish failed with KeyError") as raised:
        bench.run(bench.texts("a"), until=lambda: False)
    assert "private" not in str(raised.value)
    assert "private" not in caplog.text


def test_a_stop_waits_until_the_offsets_of_finished_work_are_committed() -> None:
    bench = Bench()
    source = ListSource([bench.texts("a")])
    source.serves_left = 3
    bench.run_from(source, until=lambda: source.exhausted)
    assert source.serves_left < 0
