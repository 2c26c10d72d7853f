"""The stages together, with parts that can be steered."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from consumer.batch import Batch, Item, Lease, Outgoing
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.kafka.assignment import Assignment
from consumer.kafka.publisher import PublishError
from consumer.outputs import Outputs
from consumer.parts import Cache
from consumer.pipeline import Pipeline, PipelineError
from consumer.policy import Policy
from schemas import ModelInfo, TaggedComment
from tests.fakes import TAG_GROUPS, DictCache, NoCache, WordEngine, record


class ListSource:
    """Gives prepared batches, then nothing."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = list(batches)
        self.exhausted = False
        self.back_pressure = 0
        self.released = 0
        self.serves_left = 0

    def take(self, timeout_s: float) -> Batch | None:
        if self.batches:
            return self.batches.pop(0)
        self.exhausted = True
        time.sleep(min(timeout_s, 0.01))
        return None

    def put_back_pressure(self) -> None:
        self.back_pressure += 1
        time.sleep(0.005)

    def serve_offsets(self) -> bool:
        self.serves_left -= 1
        return self.serves_left < 0

    def release(self) -> None:
        self.released += 1


class ListCheckpoint:
    """Remembers what was published and committed, in order."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self.published: list[Outgoing] = []
        self.committed: list[dict[int, int]] = []
        self.error: Exception | None = None
        self.is_finished = False

    def complete(self, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        if self.error:
            raise self.error
        self.published.extend(messages)
        self.committed.append({lease.partition: offset for lease, offset in next_offsets.items() if lease.valid})
        self._assignment.finished(next_offsets)

    def serve(self) -> float:
        return 0.1

    def finish(self) -> None:
        self.is_finished = True

    def events(self) -> list[TaggedComment]:
        return [TaggedComment.model_validate_json(m.value or b"") for m in self.published if not m.is_dead_letter]


class Bench:
    """A pipeline on one partition, and everything around it."""

    def __init__(self, cache: Cache | None = None, shutdown_timeout_s: float = 20.0) -> None:
        self.assignment = Assignment()
        self.assignment.grant([("comments", 0)])
        lease = self.assignment.lease("comments", 0)
        assert lease is not None
        self.lease: Lease = lease
        self.engine = WordEngine()
        self.cache = cache or NoCache()
        self.checkpoint = ListCheckpoint(self.assignment)
        self.alarm = DeadLetterAlarm(0.5, pause=False)
        self.shutdown_timeout_s = shutdown_timeout_s
        self._offset = 0

    def batch(self, *values: bytes | None) -> Batch:
        items = []
        for value in values:
            items.append(Item(record(value, offset=self._offset), self.lease))
            self._offset += 1
        return Batch(items, {self.lease: self._offset})

    def texts(self, *texts: str) -> Batch:
        return self.batch(*(json.dumps({"id": f"c-{text}", "text": text}).encode() for text in texts))

    def run(self, *batches: Batch, until: Callable[[], bool] | None = None) -> ListSource:
        source = ListSource(batches)
        self.run_from(source, until or (lambda: source.exhausted))
        return source

    def run_from(self, source: ListSource, until: Callable[[], bool]) -> None:
        outputs = Outputs(
            results_topic="results",
            dead_letter_topic="dead",
            include_text=True,
            tags_of=TAG_GROUPS.tags,
            model=ModelInfo(name="words", version="1"),
            policy=Policy(),
        )
        pipeline = Pipeline(
            source=source,
            in_flight=self.assignment,
            engine=self.engine,
            cache=self.cache,
            outputs=outputs,
            cache_key=DictCache().key,
            checkpoint=self.checkpoint,
            alarm=self.alarm,
            shutdown_timeout_s=self.shutdown_timeout_s,
        )
        pipeline.run(until)


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


def test_a_poisonous_text_is_not_remembered() -> None:
    cache = DictCache()
    bench = Bench(cache)
    bench.run(bench.texts("poison", "fine"))
    assert list(cache.answers) == [b"fine"]


def test_what_is_lost_while_in_flight_is_neither_published_nor_committed() -> None:
    bench = Bench()
    bench.engine.gate.clear()

    def lose_then_open() -> None:
        bench.assignment.end([("comments", 0)])
        bench.engine.gate.set()

    threading.Timer(0.2, lose_then_open).start()
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
    bench.engine.gate.set()
    assert bench.checkpoint.committed == []


def test_a_stop_while_the_pipeline_is_full_does_not_wait_beyond_the_shutdown_deadline() -> None:
    bench = Bench(shutdown_timeout_s=0.5)
    bench.engine.gate.clear()
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    threading.Timer(8.0, bench.engine.gate.set).start()
    began = time.monotonic()
    with pytest.raises(PipelineError, match="SHUTDOWN_TIMEOUT_S"):
        bench.run(*(bench.texts(str(n)) for n in range(9)), until=stop.is_set)
    assert time.monotonic() - began < 5


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
