"""A million comments, most of them repeats: what the member holds must not grow."""

import math
import time
from statistics import linear_regression
from threading import Event
from typing import NamedTuple

from tests.chaos.flow import Flow, Seen
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report
from tests.chaos.scenario import Options, judge, main, scene
from tests.redis_server import running_redis

TITLE = "one million comments, 90 % repeats"
MUST_HOLD = "resident memory flat after warm-up (slope under 1 MB per 100k comments), no thread or descriptor growth"

COMMENTS, COMMENTS_SHORT = 1_000_000, 300_000
WARM_UP, WARM_UP_SHORT = 200_000, 100_000
MOST_GROWTH_KB, MOST_GROWTH_SHORT_KB = 1_024, 2_048
"""Per 100,000 comments. Python asks for memory 1 MiB at a time: over few comments one such step looks like a slope."""
MOST_WAITING = 5_000
"""Comments that are sent and have not come out: more would fill the member's read-ahead, and less would drain it."""
SAMPLES = 100
REPEATED_TEXTS = 1_000
STALLED_AFTER_S = 120.0


class Sample(NamedTuple):
    """What the member held when `comments` had come out."""

    comments: int
    rss_kb: int
    threads: int
    descriptors: int


def run(report: Report, options: Options) -> None:
    """The cache in memory is full at half the warm-up: every tenth comment is new to it."""
    total, warm_up = (COMMENTS_SHORT, WARM_UP_SHORT) if options.short else (COMMENTS, WARM_UP)
    with (
        running_redis() as redis,
        scene(options, redis_url=redis.url, max_batch_records=256, cache_memory_entries=warm_up // 20) as here,
    ):
        member = here.member("member").start()
        report.check(member.wait_assigned(), "the member was given no partitions")
        seen = here.seen()
        over = Event()
        flow = Flow(here.settings, math.inf, keys=40, text=lambda number: _text(number, seen, over)).start()
        samples = _watch(report, member, seen, total)
        over.set()
        flow.stop()
        most_kb = MOST_GROWTH_SHORT_KB if options.short else MOST_GROWTH_KB
        report.missing(*_growth(report, [sample for sample in samples if sample.comments > warm_up], most_kb))
        judge(report, here, flow, seen, doubles_allowed=not options.exactly_once)


def _text(number: int, seen: Seen, over: Event) -> str:
    """Called just before the comment is sent, so waiting here holds the flow back."""
    while number - len(seen.numbers) > MOST_WAITING and not over.is_set():
        time.sleep(0.002)
    return f"this one is new: {number}" if number % 10 == 0 else f"seen before: {number * 7 % REPEATED_TEXTS}"


def _watch(report: Report, member: MemberProcess, seen: Seen, total: int) -> list[Sample]:
    """Sample the member until `total` comments came out."""
    samples: list[Sample] = []
    news_s = time.monotonic()
    while len(seen.numbers) < total and member.running and time.monotonic() - news_s < STALLED_AFTER_S:
        time.sleep(0.05)
        comments = len(seen.numbers)
        if comments >= (len(samples) + 1) * total // SAMPLES:
            news_s = time.monotonic()
            samples.append(Sample(comments, member.rss_kb(), member.threads(), member.fds()))
            if len(samples) % 5 == 0:
                report.did("{:,} comments: {:,} KiB resident, {} threads, {} descriptors".format(*samples[-1]))
    report.check(len(seen.numbers) >= total, f"it stopped at {len(seen.numbers)} comments")
    return samples


def _growth(report: Report, samples: list[Sample], most_kb: int) -> list[str]:
    """What grew after the warm-up."""
    if len(samples) < 3:
        return ["there are too few samples after the warm-up"]
    slope_kb = 100_000 * linear_regression([s.comments for s in samples], [s.rss_kb for s in samples]).slope
    first, last = samples[0], samples[-1]
    report.counted(growth_kb_per_100k=slope_kb, rss_kb=last.rss_kb, threads=last.threads, descriptors=last.descriptors)
    found = []
    if slope_kb >= most_kb:
        found.append(f"resident memory grows by {slope_kb:.0f} KiB per 100,000 comments")
    if last.threads > first.threads:
        found.append(f"threads grew from {first.threads} to {last.threads}")
    if last.descriptors > first.descriptors:
        found.append(f"file descriptors grew from {first.descriptors} to {last.descriptors}")
    return found


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
