"""`moderate dead-letters replay`: dead letters into the input topic again."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from confluent_kafka import Consumer
from rich.table import Table

from consumer.dead_letters import DeadLetter, Plan, Position, Selection, plan
from consumer.kafka.dead_letters import dead_letter_reader, ranges_with_open_transactions, read_letters
from consumer.kafka.replay import ANY_PARTITION, Replay, transactions_of
from consumer.settings import Settings
from consumer.terminal.dead_letters import IDLE_S, contents_of
from consumer.terminal.printing import print_uncut, progress_bar, say

PLANNED_SHOWN = 20
POSITIONS_SHOWN = 10


@dataclass
class Outcome:
    """What has become of the plan so far."""

    planned: Plan
    replayed: Counter[str] = field(default_factory=Counter)
    too_large: list[DeadLetter] = field(default_factory=list)

    @property
    def unsent(self) -> int:
        """How many were planned and neither replayed nor refused."""
        return len(self.planned.letters) - self.replayed.total() - len(self.too_large)

    @property
    def complete(self) -> bool:
        """Whether the record of every dead letter that was selected is replayed, now or before."""
        return not (self.unsent or self.too_large or self.planned.exhausted or self.planned.missing)


def replay_dead_letters(
    settings: Settings, selection: Selection, *, max_attempts: int, dry_run: bool, stopping: Callable[[], bool]
) -> bool:
    """Replay what is selected, or with `dry_run` say what would be; returns whether nothing of it was left.

    A signal ends it behind the transaction under way. Raises `ReplayError` and `KafkaUnavailableError`; what it had
    replayed until then is printed and stays replayed.
    """
    replay = Replay(settings)
    if not dry_run:
        replay.begin()
    idle_s = IDLE_S + settings.kafka_transaction_timeout_ms / 1000
    ranges = ranges_with_open_transactions(settings)
    with closing(dead_letter_reader(settings)) as consumer:
        contents = contents_of(consumer, settings.dead_letter_topic, ranges, idle_s=idle_s, stopping=stopping)
        outcome = Outcome(plan(contents, selection, max_attempts))
        try:
            if dry_run:
                _pretend(replay, outcome, settings)
            elif outcome.planned.letters:
                _send(replay, consumer, outcome, settings, stopping)
        finally:
            _show(outcome, "would be replayed" if dry_run else "replayed", settings.input_topic)
    _explain(outcome, max_attempts, stopped=stopping())
    return outcome.complete


def _pretend(replay: Replay, outcome: Outcome, settings: Settings) -> None:
    letters = outcome.planned.letters
    for letter in letters[:PLANNED_SHOWN]:
        home = replay.home(letter)
        say(
            f"{letter.position} {letter.reason}, attempt {letter.attempts + 1}: to {settings.input_topic}, "
            f"{'the partition of its key' if home == ANY_PARTITION else f'partition {home}'}"
        )
    if len(letters) > PLANNED_SHOWN:
        say(f"… and {len(letters) - PLANNED_SHOWN:,} more")
    outcome.replayed.update(letter.reason.value for letter in letters)


def _send(
    replay: Replay, consumer: Consumer, outcome: Outcome, settings: Settings, stopping: Callable[[], bool]
) -> None:
    letters = read_letters(
        consumer, settings.dead_letter_topic, outcome.planned.letters, idle_s=IDLE_S, stopping=stopping
    )
    with progress_bar(f"replaying into {settings.input_topic}") as show:
        for batch in transactions_of(letters):
            if stopping():
                return
            too_large = replay.send(batch)
            outcome.too_large += too_large
            outcome.replayed.update(letter.reason.value for letter, _ in batch)
            outcome.replayed.subtract(letter.reason.value for letter in too_large)
            show(len(outcome.planned.letters) - outcome.unsent, len(outcome.planned.letters))


def _show(outcome: Outcome, replayed: str, topic: str) -> None:
    table = Table(title="Replay", show_header=False, title_justify="left", min_width=50)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("into", topic)
    table.add_row(replayed, f"{outcome.replayed.total():,}")
    for reason, count in sorted(outcome.replayed.items()):
        table.add_row(f"  {reason}", f"{count:,}")
    planned = outcome.planned
    left = {
        "replayed before": planned.replayed_before,
        "copies of one of these": planned.copies,
        "above --max-attempts": planned.exhausted,
        "too large": len(outcome.too_large),
        "not replayed": outcome.unsent,
    }
    for name, count in left.items():
        if count:
            table.add_row(name, f"{count:,}")
    print_uncut(table)


def _explain(outcome: Outcome, max_attempts: int, *, stopped: bool) -> None:
    """Say why something was left, and what to do about it."""
    planned = outcome.planned
    if outcome.unsent:
        because = "a signal came; run it again" if stopped else "the topic's retention removed them meanwhile"
        say(f"{outcome.unsent:,} left: {because}")
    if planned.exhausted:
        say(
            f"{planned.exhausted:,} left: their header dlq.attempts says {max_attempts} or more; mend what makes them "
            "fail, then raise --max-attempts"
        )
    if outcome.too_large:
        say(
            f"{len(outcome.too_large):,} left: the input topic refuses them as too large with their attempts on "
            f"them; raise its max.message.bytes a little: {_some(letter.position for letter in outcome.too_large)}"
        )
    if planned.missing:
        say(f"no dead letter lies at {_some(planned.missing)}")


def _some(positions: Iterable[Position]) -> str:
    first = list(islice(positions, POSITIONS_SHOWN + 1))
    return ", ".join(map(str, first[:POSITIONS_SHOWN])) + (", …" if len(first) > POSITIONS_SHOWN else "")
