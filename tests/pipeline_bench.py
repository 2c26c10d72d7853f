"""A pipeline whose parts can be steered, and what they saw."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from consumer.batch import Batch, Item, Lease, Outgoing
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.health import Vital
from consumer.kafka.assignment import Assignment
from consumer.kafka.publisher import PublishError
from consumer.micro_batcher import MicroBatcher
from consumer.outputs import Outputs
from consumer.parts import Cache
from consumer.pipeline import Pipeline
from consumer.policy import Policy
from consumer.telemetry.metrics import Metrics
from consumer.verdict import Judge
from schemas import ModelInfo, TaggedComment
from tests import waiting
from tests.fakes import TAG_GROUPS, DictCache, NoCache, WordEngine, record

wait_until = partial(waiting.wait_until, timeout_s=20.0)


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


class Ledger:
    """An observer that keeps what it was told, in order."""

    def __init__(self) -> None:
        self.entered: list[Batch] = []
        self.left: list[tuple[Batch, list[int]]] = []
        self.work: list[str] = []

    def taken(self, batch: Batch) -> None:
        self.entered.append(batch)

    def worked(self, stage: str, waited_s: float, took_s: float) -> None:
        assert waited_s >= 0
        assert took_s >= 0
        self.work.append(stage)

    def out(self, batch: Batch, held: Sequence[Item]) -> None:
        self.left.append((batch, [item.record.offset for item in held]))


class Bench:
    """A pipeline on one partition, and everything around it."""

    def __init__(
        self, cache: Cache | None = None, shutdown_timeout_s: float = 20.0, engine: WordEngine | None = None
    ) -> None:
        self.assignment = Assignment()
        self.assignment.grant([("comments", 0)])
        lease = self.assignment.lease("comments", 0)
        assert lease is not None
        self.lease: Lease = lease
        self.engine = engine or WordEngine()
        self.batcher = MicroBatcher(self.engine, 0)
        self.cache = cache or NoCache()
        self.checkpoint = ListCheckpoint(self.assignment)
        self.alarm = DeadLetterAlarm(0.5, pause=False)
        self.metrics = Metrics()
        self.ledger = Ledger()
        self.vitals: Callable[[], Sequence[Vital]] = list
        self.shutdown_timeout_s = shutdown_timeout_s
        self.model_moved_at_s = 0.0
        self._offset = 0

    def batch(self, *values: bytes | None) -> Batch:
        items = []
        for value in values:
            items.append(Item(record(value, offset=self._offset), self.lease))
            self._offset += 1
        return Batch(items, {self.lease: self._offset})

    def texts(self, *texts: str) -> Batch:
        return self.batch(*(json.dumps({"id": f"c-{text}", "text": text}).encode() for text in texts))

    def lose_the_partition_in_flight(self) -> None:
        """A moment from now, while the model is held up: the partition ends, and then the model goes on."""
        self.engine.gate.clear()

        def lose_then_open() -> None:
            self.assignment.end([("comments", 0)])
            self.engine.gate.set()

        threading.Timer(0.2, lose_then_open).start()

    def run(self, *batches: Batch, until: Callable[[], bool] | None = None) -> ListSource:
        source = ListSource(batches)
        self.run_from(source, until or (lambda: source.exhausted))
        return source

    def run_from(self, source: ListSource, until: Callable[[], bool]) -> None:
        try:
            self.pipeline(source).run(until)
        finally:
            if self.engine.gate.is_set():
                self.batcher.close(timeout_s=20.0)

    def pipeline(self, source: ListSource) -> Pipeline:
        outputs = Outputs(
            results_topic="results",
            dead_letter_topic="dead",
            include_text=True,
            judge=Judge(tags_of=TAG_GROUPS.tags, model=ModelInfo(name="words", version="1"), policy=Policy()),
        )
        pipeline = Pipeline(
            source=source,
            in_flight=self.assignment,
            engine=self.batcher,
            cache=self.cache,
            outputs=outputs,
            cache_key=DictCache().key,
            checkpoint=self.checkpoint,
            alarm=self.alarm,
            observers=[self.metrics, self.ledger],
            model_moved_at_s=lambda: self.model_moved_at_s,
            shutdown_timeout_s=self.shutdown_timeout_s,
        )
        self.vitals = pipeline.vitals
        return pipeline

    def end_stages(self) -> None:
        """Let no stage outlive its test, which is what a pipeline that gave up leaves to the end of the process."""
        self.checkpoint.error = PublishError("the test is over")
        self.engine.gate.set()
        self.batcher.close(timeout_s=20.0)
        wait_until(lambda: not any(vital.alive for vital in self.vitals()))

    def vital(self, name: str) -> Vital:
        """What is known of one thread of the pipeline, now."""
        return {vital.name: vital for vital in self.vitals()}[name]
