"""The metrics of running members: every one moves when what it counts happens, and the sums agree."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from consumer.app import run_with
from consumer.cache import breaker
from consumer.cache.embedded import free_port
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.http.server import open_server
from consumer.kafka import lag
from consumer.loading import LoadedModel, load_model
from consumer.policy import Policy
from consumer.services import open_services
from consumer.settings import Settings
from consumer.telemetry import metric_defs as defs
from consumer.telemetry.metric_defs import MetricDef
from tests.fakes import WordEngine
from tests.integration.conftest import MakeSettings, embedded_settings
from tests.redis_server import running_redis
from tests.stream import comment, let_results_have, produce, subscriber
from tests.tiny_models import save_classifier
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "ASK_EVERY_S", 0.3)
    monkeypatch.setattr(breaker, "RETRY_AFTER_S", 0.5)


class Measured:
    """A member of the group with its HTTP server, in a thread; without `engine` it loads the model of its settings."""

    def __init__(self, settings: Settings, engine: LoadedModel | None = None) -> None:
        self.error: BaseException | None = None
        self.alarm = DeadLetterAlarm(settings.dead_letter_alarm_share, settings.dead_letter_pause)
        self._settings = settings.model_copy(update={"http_port": free_port()})
        self._engine = engine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def scrape(self) -> Found:
        """What Prometheus is shown; nothing before the server listens."""
        try:
            text = self._ask("GET", "/metrics")
        except OSError:
            return {}
        samples = (sample for family in parse(text) for sample in family.samples)
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}

    def total(self, metric: MetricDef | str, **labels: str) -> float:
        """The sum over all series of a metric that have these labels."""
        return total(self.scrape(), metric, **labels)

    def partitions_with_lag(self) -> int:
        return len([name for name, _ in self.scrape() if name == defs.LAG.name])

    def predict(self, *texts: str) -> None:
        """Ask by HTTP."""
        self._ask("POST", "/predict", json.dumps({"texts": texts}))

    def stop(self) -> None:
        """Ask for a clean end and wait for it."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the member did not stop"
        assert self.error is None, self.error

    def _ask(self, method: str, path: str, body: str | None = None) -> str:
        connection = HTTPConnection("127.0.0.1", self._settings.http_port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            connection.close()

    def _run(self) -> None:
        stopping = self._stop.is_set
        try:
            with ExitStack() as stack:
                services = open_services(self._settings, stopping, stack, has_server=True)
                open_server(self._settings, services, stack)
                if self._engine is None:
                    engine, policy = load_model(self._settings, services.metrics.model_pass)
                    run_with(self._settings, engine, policy, stopping, self.alarm, services)
                else:
                    run_with(self._settings, self._engine, Policy(), stopping, self.alarm, services)
        except BaseException as error:
            self.error = error


def total(found: Found, metric: MetricDef | str, **labels: str) -> float:
    name = metric if isinstance(metric, str) else metric.name
    return sum(value for (shown, its), value in found.items() if shown == name and labels.items() <= dict(its).items())


@contextmanager
def measured(settings: Settings, engine: LoadedModel | None = None) -> Iterator[Measured]:
    member = Measured(settings, engine)
    try:
        yield member
    finally:
        member.stop()


def comments(texts: Iterable[str]) -> list[bytes]:
    return [comment(f"c-{number}", text) for number, text in enumerate(texts)]


def assert_sums_agree(found: Found) -> None:
    read, left = total(found, defs.COMMENTS_READ), total(found, defs.LEFT_TO_OTHERS)
    decisions, dead_letters = total(found, defs.DECISIONS), total(found, defs.DEAD_LETTERS)
    assert read == decisions + dead_letters + left - total(found, defs.DEAD_LETTERS, reason="result-too-large")
    assert decisions == total(found, defs.ANSWERS)
    assert 2 * decisions == total(found, defs.TAGS)
    assert read == total(found, "moderation_batch_comments_sum")
    assert decisions + dead_letters >= total(found, "moderation_end_to_end_seconds_count")


def test_every_counter_and_histogram_moves_with_a_real_model_redis_and_http_callers(
    embedded_bootstrap: str, tmp_path: Path
) -> None:
    model = save_classifier(tmp_path / "model")
    with running_redis() as redis:
        settings = embedded_settings(
            embedded_bootstrap, tmp_path, model=str(model), model_device="cpu", redis_url=redis.url
        )
        produce(settings, [*comments(f"text number {n % 40}" for n in range(100)), b"{", b"\xff", None])
        with measured(settings) as member:
            wait_until(lambda: member.total(defs.COMMENTS_READ) == 103)
            wait_until(lambda: redis.client().dbsize() == 40)
        with measured(settings) as member:  # another process, for which Redis has the answers
            produce(settings, comments(f"text number {n % 40}" for n in range(100)))
            wait_until(lambda: member.total(defs.COMMENTS_READ) == 100)
            member.predict("by another way, and longer", "and", "text number 3")
            produce(settings, [comment("c-new", "something new", language="en_US"), b"{"])
            wait_until(lambda: member.total(defs.COMMENTS_READ) == 102)
            found = member.scrape()
    assert_sums_agree(found)
    assert total(found, defs.ANSWERS, layer="redis") >= 40
    assert total(found, defs.ANSWERS, layer="redis") + total(found, defs.ANSWERS, layer="memory") == 100
    assert total(found, defs.ANSWERS, layer="model") == 1
    assert total(found, defs.HTTP_TEXTS, layer="model") == 2
    assert total(found, defs.HTTP_TEXTS, layer="memory") == 1
    assert total(found, defs.HTTP_REQUESTS, route="/predict", status="200") == 1
    still = [definition for definition in defs.ALL if definition.kind != "gauge" and not _moved(definition, found)]
    assert still == [defs.LEFT_TO_OTHERS]
    missing = [
        definition.name for definition in defs.ALL if not any(name.startswith(definition.name) for name, _ in found)
    ]
    assert not missing
    assert total(found, defs.BUILD, model=str(model)) == 1
    for stage in defs.STAGES:
        assert total(found, "moderation_stage_seconds_count", stage=stage) > 0
        assert total(found, "moderation_queue_seconds_count", stage=stage) > 0
    assert total(found, "moderation_stage_seconds_count") == 3 * total(found, "moderation_batch_comments_count")


def _moved(definition: MetricDef, found: Found) -> bool:
    return total(found, definition.name + ("_count" if definition.kind == "histogram" else "")) > 0


def test_the_sums_agree_in_both_deliveries_with_repeats_and_dead_letters(make_stream_settings: MakeSettings) -> None:
    settings = make_stream_settings(max_batch_records=50)
    broken = [b"\xff\x00\xfe", b"{", None, b'{"id":1}', comment("p", "poison")]
    produce(settings, [*comments(f"{'awful ' * (n % 5 == 0)}text {n % 100}" for n in range(400)), *broken])
    with measured(settings, WordEngine()) as member, subscriber(settings) as results:
        results.read(405)
        wait_until(lambda: member.total(defs.COMMENTS_READ) == 405)
        wait_until(lambda: member.total(defs.LAG) == 0)
        found = member.scrape()
        actions = [event.decision.action for event in results.events()]
    assert_sums_agree(found)
    for action in ("allow", "review", "reject"):
        assert total(found, defs.DECISIONS, action=action) == actions.count(action)
    assert total(found, defs.DECISIONS, action="reject") == total(found, defs.TAGS, label="toxic") == 80
    assert total(found, defs.ANSWERS, layer="model") == 100
    for reason in ("not-utf-8", "not-json", "tombstone", "not-the-contract", "text-fails-model"):
        assert total(found, defs.DEAD_LETTERS, reason=reason) == 1
    assert total(found, "moderation_end_to_end_seconds_count") == 405
    assert total(found, "moderation_checkpoint_seconds_count") > 0
    assert total(found, defs.LEFT_TO_OTHERS) == total(found, defs.IN_FLIGHT) == 0


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_result_too_large_for_its_topic_is_a_decision_and_a_dead_letter(
    make_apache_settings: MakeSettings, delivery: str
) -> None:
    settings = make_apache_settings(topic_partitions=1, delivery=delivery)
    let_results_have(settings, 4_000)
    large = "".join(f"{number * 7919:x}" for number in range(1_200))
    produce(settings, comments(large if n == 5 else f"small {n}" for n in range(10)))
    with measured(settings, WordEngine()) as member, subscriber(settings) as results:
        results.read(10)
        wait_until(lambda: member.total(defs.COMMENTS_READ) == 10)
        found = member.scrape()
    assert_sums_agree(found)
    assert total(found, defs.DECISIONS) == 10
    assert total(found, defs.DEAD_LETTERS) == total(found, defs.DEAD_LETTERS, reason="result-too-large") == 1


def test_what_waits_for_the_model_is_in_flight_and_in_the_lag(embedded_bootstrap: str, tmp_path: Path) -> None:
    settings = embedded_settings(embedded_bootstrap, tmp_path, max_batch_records=10)
    engine = WordEngine()
    engine.gate.clear()
    produce(settings, comments(f"text {n}" for n in range(200)))
    with measured(settings, engine) as member:
        # One batch is in the model by then, one waits for it, and a third waits for room.
        wait_until(lambda: member.total("moderation_stage_seconds_count", stage="prepare") == 3)
        wait_until(lambda: member.total(defs.LAG) == 200)
        assert 3 <= member.total(defs.IN_FLIGHT) < 100
        assert member.total(defs.ASSIGNED) == 4
        caller = threading.Thread(target=member.predict, args=("one", "two"))
        caller.start()
        wait_until(lambda: member.total(defs.HTTP_WAITING) == 2)
        engine.gate.set()
        caller.join(30)
        wait_until(lambda: member.total(defs.LAG) == 0 and member.total(defs.COMMENTS_READ) == 200)
        found = member.scrape()
    assert total(found, defs.IN_FLIGHT) == total(found, defs.HTTP_WAITING) == 0


def test_work_dropped_on_a_revoke_is_left_to_others_and_their_lag_is_theirs(
    embedded_bootstrap: str, tmp_path: Path
) -> None:
    settings = embedded_settings(embedded_bootstrap, tmp_path, max_batch_records=100, shutdown_timeout_s=0.5)
    held = WordEngine()
    held.gate.clear()
    produce(settings, comments(f"text {n}" for n in range(200)), key=lambda n: b"key %d" % n)
    with measured(settings, held) as first:
        wait_until(lambda: first.total(defs.IN_FLIGHT) == 200)
        with measured(settings, WordEngine()) as second:
            # Three steps of a rebalance, 5 s each on the embedded broker at best, and more on a busy machine.
            wait_until(lambda: first.total(defs.ASSIGNED) == second.total(defs.ASSIGNED) == 2, timeout_s=90.0)
            held.gate.set()
            wait_until(lambda: first.total(defs.DECISIONS) + second.total(defs.DECISIONS) == 200)
            wait_until(lambda: first.total(defs.IN_FLIGHT) + second.total(defs.IN_FLIGHT) == 0)
            wait_until(lambda: first.partitions_with_lag() == second.partitions_with_lag() == 2)  # asked now and then
            found = [first.scrape(), second.scrape()]
    for each in found:
        assert_sums_agree(each)
    assert total(found[0], defs.LEFT_TO_OTHERS) > 0


def test_a_redis_that_stops_opens_the_circuits_until_it_is_back(embedded_bootstrap: str, tmp_path: Path) -> None:
    with running_redis() as redis:
        settings = embedded_settings(embedded_bootstrap, tmp_path, redis_url=redis.url, max_batch_records=5)
        with measured(settings, WordEngine()) as member:
            produce(settings, comments(f"before {n}" for n in range(10)))
            wait_until(lambda: member.total(defs.COMMENTS_READ) == 10)
            assert member.total(defs.CACHE_OPEN) == 0
            redis.kill()
            produce(settings, comments(f"while it is away {n}" for n in range(100)))
            wait_until(lambda: member.total(defs.CACHE_OPEN, circuit="reads") == 1)
            assert member.total(defs.CACHE_OPEN, circuit="writes") == 1
            wait_until(lambda: member.total(defs.COMMENTS_READ) == 110)
            redis.start()

            new = (f"something new {number}" for number in count())

            def is_closed_again() -> bool:
                produce(settings, comments([next(new)]))
                return member.total(defs.CACHE_OPEN) == 0

            wait_until(is_closed_again)
            assert_sums_agree(member.scrape())


def test_too_many_dead_letters_are_shown_as_their_share_the_alarm_and_the_pause(
    embedded_bootstrap: str, tmp_path: Path
) -> None:
    settings = embedded_settings(embedded_bootstrap, tmp_path, dead_letter_pause=True)
    with measured(settings, WordEngine()) as member:
        produce(settings, [*comments(f"text {n}" for n in range(20)), *[b"{"] * 180])
        wait_until(lambda: member.total(defs.PAUSED) == 1)
        assert member.total(defs.DEAD_LETTER_ALARM) == 1
        assert member.total(defs.DEAD_LETTER_SHARE) >= 0.5
        member.alarm.resume()
        wait_until(lambda: member.total(defs.PAUSED) == 0)
        wait_until(lambda: member.total(defs.DEAD_LETTER_ALARM) == 0)
