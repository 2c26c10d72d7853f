"""Redis is harmed in every way, while one member uses it and another, on the same comments, does without."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consumer.demo_data import comments
from consumer.kafka.clients import make_admin
from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from consumer.terminal.ledger import percentile
from schemas import Comment, TaggedComment
from tests.chaos.flow import Flow, Seen
from tests.chaos.processes import MemberProcess
from tests.chaos.redis_harm import HARMS, Harm
from tests.chaos.redis_proxy import RedisProxy, redis_proxy
from tests.chaos.report import Report, some
from tests.chaos.scenario import COMES_OUT_WITHIN_S, Options, judge, main, scene
from tests.redis_server import RedisServer, running_redis
from tests.stream import subscriber
from tests.waiting import wait_until

TITLE = "Redis stopped, slowed to 2 s per call, filled, flushed, values corrupted"
MUST_HOLD = "none lost; none delayed past its own time plus the short cache timeout; same labels, scores within 0.02"

RATE_PER_S = 12
TEXTS = [Comment.model_validate_json(value).text for value in comments()[:60]]
"""So few that most of what is sent are repeats."""
ONE_CORE = {"OMP_NUM_THREADS": "1"}
HARM_S, HARM_SHORT_S = 20.0, 3.0
RECOVERS_WITHIN_S = 20.0
CACHE_TIMEOUT_MS = 100
NOISE_MS = 400
"""What a busy machine may do to one member and not to the other, and the wait behind a batch that waits for Redis."""
BLOCKED_MS = 1_000
"""A call to Redis that is not cut off takes at least this long, the socket's timeout: only a bound below it tells."""
ATTEMPTS = 3
MOST_SCORE_DIFFERENCE = 0.02


@dataclass(frozen=True)
class Pair:
    """The member that uses Redis and what came out of it; `plain` is of the one that does not."""

    member: MemberProcess
    seen: Seen
    seen_plain: Seen
    flow: Flow
    sent_s: dict[int, float]

    def delays_ms(self, numbers: range) -> tuple[list[float], list[float]]:
        """How long these comments took from sent to read, with Redis and without."""
        everything = all(seen.wait_for(numbers, COMES_OUT_WITHIN_S) for seen in (self.seen, self.seen_plain))
        assert everything, f"comments {numbers} did not come out"
        with_redis, without = (
            [1_000 * (o.arrival_s - self.sent_s[o.number]) for o in seen.outcomes if o.number in numbers]
            for seen in (self.seen, self.seen_plain)
        )
        return with_redis, without


def run(report: Report, options: Options) -> None:
    """The member without Redis shows what the tags are, and how long a comment takes on this machine just then."""
    with (
        running_redis() as redis,
        redis_proxy(redis.port) as proxy,
        scene(options, redis_url=proxy.url, cache_timeout_ms=CACHE_TIMEOUT_MS, cache_memory_entries=10) as here,
    ):
        plain = _without_redis(here.settings)
        member = here.member("with-redis", ONE_CORE, model=True).start()
        names = ("kafka_group_id", "results_topic", "dead_letter_topic")
        without_redis = {name.upper(): str(getattr(plain, name)) for name in names} | {"REDIS_URL": ""}
        here.member("without-redis", ONE_CORE | without_redis, model=True).start()
        sent_s: dict[int, float] = {}
        flow = Flow(here.settings, RATE_PER_S, keys=40, text=lambda number: _text(number, sent_s)).start()
        with _reading(here.settings) as seen, _reading(plain) as seen_plain:
            pair = Pair(member, seen, seen_plain, flow, sent_s)
            pair.delays_ms(range(len(TEXTS)))
            phases = {harm.name: _endure(report, options, harm, redis, proxy, pair) for harm in HARMS}
            flow.stop()
            pair.delays_ms(range(flow.sent))
            judge(report, here, flow, seen, doubles_allowed=not options.exactly_once)
        _compare_tags(report, _tagged(here.settings, flow.sent), _tagged(plain, flow.sent), phases)


def _without_redis(settings: Settings) -> Settings:
    """The same input, read by another group into topics of its own."""
    own = ("kafka_group_id", "results_topic", "dead_letter_topic", "feedback_topic")
    plain = settings.model_copy(update={name: f"{getattr(settings, name)}-plain" for name in own})
    create_topics(plain)
    admin = make_admin(plain)
    wait_until(lambda: plain.dead_letter_topic in admin.list_topics(timeout=10).topics)  # brokers learn of them later
    return plain


def _text(number: int, sent_s: dict[int, float]) -> str:
    """Called just before the comment is sent."""
    sent_s[number] = time.monotonic()
    return TEXTS[number] if number < len(TEXTS) else random.Random(number).choice(TEXTS)


@contextmanager
def _reading(settings: Settings) -> Iterator[Seen]:
    seen = Seen(settings).start()
    try:
        yield seen
    finally:
        seen.stop()


def _endure(
    report: Report, options: Options, harm: Harm, redis: RedisServer, proxy: RedisProxy, pair: Pair
) -> list[range]:
    """Do harm and compare delays, again where the machine was too busy to tell; returns the comments sent meanwhile."""
    phases = []
    for _ in range(1 if options.short else ATTEMPTS):
        began, opened = pair.flow.sent, _openings(pair.member, harm.opens)
        harm.do(redis, proxy, HARM_SHORT_S if options.short else HARM_S)
        noticed = not harm.opens or _openings(pair.member, harm.opens) > opened
        report.check(noticed, f"{harm.name}: the member did not notice")
        report.check(_recovers(pair.member), f"{harm.name}: Redis is well again, and the member does not use it")
        phases.append(range(began, pair.flow.sent))
        if _compare_delays(report, harm.name, *pair.delays_ms(phases[-1])):
            return phases
    if not options.short:
        report.missing(f"{harm.name}: the machine was too busy to tell a delay")
    return phases


def _openings(member: MemberProcess, circuit: str) -> int:
    return sum(1 for event in member.events() if event["event"] == "cache_open" and event["affected"] == circuit)


def _recovers(member: MemberProcess) -> bool:
    """Wait until no circuit is open."""
    deadline_s = time.monotonic() + RECOVERS_WITHIN_S
    while time.monotonic() < deadline_s:
        last = {event["affected"]: event["event"] for event in member.events() if "affected" in event}
        if "cache_open" not in last.values():
            return True
        time.sleep(0.2)
    return False


def _compare_delays(report: Report, name: str, with_redis: list[float], without: list[float]) -> bool:
    """Report the slowest of both; False when the machine was too busy to tell anything from them."""
    bound_ms = max(without) + CACHE_TIMEOUT_MS + NOISE_MS
    report.did(
        f"{name}: {len(with_redis)} comments took {percentile(with_redis, 0.5):.0f} ms (median), "
        f"{max(with_redis):.0f} ms at most; without Redis {percentile(without, 0.5):.0f} and {max(without):.0f} ms"
        f"; bound {bound_ms:.0f} ms" + ("" if bound_ms < BLOCKED_MS else ", too much to tell anything")
    )
    told = bound_ms < BLOCKED_MS
    report.check(max(with_redis) <= bound_ms or not told, f"{name}: a comment took {max(with_redis):.0f} ms")
    return told


def _tagged(settings: Settings, count: int) -> dict[int, TaggedComment]:
    with subscriber(settings) as results:
        results.read(count)
        return dict(zip(results.numbers(), results.events(), strict=True))


def _compare_tags(
    report: Report,
    tagged: dict[int, TaggedComment],
    plain: dict[int, TaggedComment],
    phases: dict[str, list[range]],
) -> None:
    other_label, largest = set(), 0.0
    for number, event in tagged.items():
        for group, tag in event.tags.items():
            expected = plain[number].tags[group]
            if tag.label != expected.label:
                other_label.add(number)
            largest = max([largest, *(abs(tag.scores[name] - score) for name, score in expected.scores.items())])
    report.counted(largest_score_difference=f"{largest:.4f}", other_labels=len(other_label))
    report.check(not other_label, f"comments got another label: {some(other_label)}")
    report.check(largest <= MOST_SCORE_DIFFERENCE, f"a score differs by {largest:.4f}")
    answered = {
        name: Counter(tagged[number].answered_by for numbers in parts for number in numbers)
        for name, parts in phases.items()
    }
    for name, by in answered.items():
        report.did(f"{name}: answered by {dict(by)}")
    report.check(answered["well"]["redis"], "the scenario is broken: Redis answered nothing when it was well")
    for name in ("flushed", "corrupted"):
        report.check(answered[name]["model"], f"the scenario is broken: {name} cost no answer")


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
