"""What exactly-once costs: comments per second against at-least-once, in turns on one Apache Kafka.

    python -m tests.benchmarks.delivery

Members are processes of their own, with a model that answers at once (the host path alone, where the cost shows most)
and with one that takes 2 ms a text. Comments lie in the topic before a member starts; the time runs from the first to
the last result that a `read_committed` subscriber sees.
"""

import argparse
import statistics
import sys

import pytest

from tests.chaos.scenario import Options, scene, stop_on_sigterm
from tests.stream import comment, produce

SECONDS_PER_TEXT = {"instant model": 0.0, "2 ms a text": 0.002}
DELIVERIES = ("at-least-once", "exactly-once")


def rate_per_s(delivery: str, bootstrap: str, comments: int, seconds_per_text: float) -> float:
    """Comments per second of one member."""
    with scene(Options(delivery=delivery), bootstrap, max_batch_records=256) as here:
        produce(here.settings, (comment(f"c-{n}", f"comment number {n}") for n in range(comments)))
        seen = here.seen()
        here.member("member", {"CHAOS_SECONDS_PER_TEXT": str(seconds_per_text)}).start()
        if not seen.wait_for(range(comments), 600):
            raise RuntimeError(f"{delivery}: not everything came out; see why with: python -m tests.chaos.kill")
        here.terminate_members()
        arrivals_s = sorted(outcome.arrival_s for outcome in seen.outcomes)
    return (len(arrivals_s) - 1) / (arrivals_s[-1] - arrivals_s[0])


def main() -> None:
    """Run the pairs and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="how often each is measured, in turns")
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long one measurement takes")
    options = parser.parse_args()
    stop_on_sigterm()
    try:
        measure(options.pairs, options.seconds)
    except pytest.skip.Exception as reason:
        sys.exit(f"Nothing was measured: {reason}")


def measure(pairs: int, seconds: float) -> None:
    """Print a line for each pair and the ratios of each model."""
    with scene(Options()) as broker:
        bootstrap = broker.settings.kafka_bootstrap_servers
        for name, seconds_per_text in SECONDS_PER_TEXT.items():
            comments = int(seconds * (0.6 / seconds_per_text if seconds_per_text else 6_000))
            rates: dict[str, list[float]] = {delivery: [] for delivery in DELIVERIES}
            for _ in range(pairs):
                for delivery in DELIVERIES:
                    rates[delivery].append(rate_per_s(delivery, bootstrap, comments, seconds_per_text))
                sys.stdout.write(f"  {', '.join(f'{d} {r[-1]:,.0f}/s' for d, r in rates.items())}\n")
                sys.stdout.flush()
            ratios = sorted(once / least for least, once in zip(*rates.values(), strict=True))
            medians = ", ".join(f"{d} {statistics.median(r):,.0f}/s" for d, r in rates.items())
            sys.stdout.write(
                f"{name}: exactly-once / at-least-once {statistics.median(ratios):.2f} "
                f"(of {len(ratios)} pairs {ratios[0]:.2f} to {ratios[-1]:.2f}); medians: {medians}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
