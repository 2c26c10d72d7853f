"""What the pipeline tells its observers, and what it shows of its threads."""

import threading
import time

import pytest

from consumer.kafka.publisher import PublishError
from consumer.pipeline import PipelineError
from tests.pipeline_bench import Bench, ListSource, wait_until


def test_observers_are_told_of_every_batch_that_it_came_in_was_worked_on_and_went_out() -> None:
    bench = Bench()
    batches = [bench.texts(f"a {n}", "poison", f"b {n}") for n in range(20)]
    bench.run(*batches)
    assert bench.ledger.entered == batches
    assert bench.ledger.left == [(batch, [3 * n, 3 * n + 1, 3 * n + 2]) for n, batch in enumerate(batches)]
    assert sorted(bench.ledger.work) == ["classify"] * 20 + ["prepare"] * 20 + ["publish"] * 20


def test_a_batch_that_a_stop_lets_go_goes_out_too_and_holds_nothing() -> None:
    bench = Bench()
    bench.engine.gate.clear()
    stop = threading.Event()
    source = ListSource(bench.texts(str(n)) for n in range(9))
    running = threading.Thread(target=bench.run_from, args=(source, stop.is_set), daemon=True)
    running.start()
    wait_until(lambda: source.back_pressure)  # the pipeline is full, and the source waits with a batch in its hand
    stop.set()
    wait_until(lambda: len(bench.ledger.left) == 1)
    bench.engine.gate.set()
    running.join(20)
    let_go = bench.ledger.entered[-1]
    assert bench.ledger.left[0] == (let_go, [])
    assert sorted(map(id, bench.ledger.entered)) == sorted(id(batch) for batch, _ in bench.ledger.left)
    assert [len(held) for _, held in bench.ledger.left[1:]] == [1] * (len(bench.ledger.entered) - 1)
    assert bench.lease.in_flight == 0


def test_what_belongs_to_another_member_by_now_goes_out_as_not_held() -> None:
    bench = Bench()
    bench.lose_the_partition_in_flight()
    bench.run(bench.texts("a", "b"))
    assert [held for _, held in bench.ledger.left] == [[]]


def test_an_idle_pipeline_lives_and_keeps_moving() -> None:
    bench = Bench()
    stop = threading.Event()
    running = threading.Thread(target=bench.run, kwargs={"until": stop.is_set}, daemon=True)
    running.start()
    wait_until(lambda: len(bench.vitals()) == 4)
    before = {vital.name: vital.moved_at_s for vital in bench.vitals()}
    wait_until(lambda: all(vital.moved_at_s > before[vital.name] for vital in bench.vitals()))
    assert [(vital.name, vital.alive) for vital in bench.vitals()] == [
        ("source", True),
        ("prepare", True),
        ("classify", True),
        ("publish", True),
    ]
    stop.set()
    running.join(20)


def test_a_stage_that_is_stuck_in_its_work_stands_still_while_the_others_move() -> None:
    bench = Bench()
    bench.engine.gate.clear()
    stop = threading.Event()
    running = threading.Thread(target=bench.run, args=(bench.texts("a"),), kwargs={"until": stop.is_set}, daemon=True)
    running.start()
    wait_until(lambda: "prepare" in bench.ledger.work)
    wait_until(lambda: time.monotonic() - bench.vital("classify").moved_at_s > 1.0)  # ten times its beat
    stuck = bench.vital("classify")
    assert stuck.alive
    for name in ("source", "prepare", "publish"):
        wait_until(lambda name=name: bench.vital(name).moved_at_s > stuck.moved_at_s)  # type: ignore[misc]
    bench.model_moved_at_s = time.monotonic()  # a pass of a long batch is done: that is no standstill
    assert bench.vital("classify").moved_at_s > stuck.moved_at_s
    stuck = bench.vital("classify")
    bench.engine.gate.set()
    wait_until(lambda: bench.vital("classify").moved_at_s > stuck.moved_at_s)
    stop.set()
    running.join(20)


def test_a_stage_that_waits_for_room_is_not_taken_for_one_that_is_stuck() -> None:
    bench = Bench()
    bench.engine.gate.clear()
    stop = threading.Event()
    source = ListSource(bench.texts(str(n)) for n in range(9))
    running = threading.Thread(target=bench.run_from, args=(source, stop.is_set), daemon=True)
    running.start()
    wait_until(lambda: source.back_pressure)
    for name in ("source", "prepare"):
        before = bench.vital(name).moved_at_s
        wait_until(lambda name=name, before=before: bench.vital(name).moved_at_s > before)  # type: ignore[misc]
    bench.engine.gate.set()
    stop.set()
    running.join(20)


def test_a_stage_that_failed_is_dead_and_so_is_the_source_that_ended_with_it() -> None:
    bench = Bench()
    bench.checkpoint.error = PublishError("no broker")
    with pytest.raises(PipelineError):
        bench.run(bench.texts("a"), until=lambda: False)
    wait_until(lambda: not bench.vital("publish").alive)
    assert not bench.vital("source").alive


def test_a_stage_that_has_not_been_started_yet_is_not_dead() -> None:
    bench = Bench()
    assert [vital.alive for vital in bench.pipeline(ListSource([])).vitals()] == [True] * 4
