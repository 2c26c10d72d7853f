"""The two delivery guarantees, put together: what becomes of offsets, and how outcomes are made durable."""

from collections.abc import Callable
from contextlib import ExitStack

from consumer.backoff import Backoff
from consumer.batch import Outgoing, Record, Refusal
from consumer.kafka.assignment import Assignment
from consumer.kafka.checkpoint import AtLeastOnceCheckpoint
from consumer.kafka.clients import Member, make_producer, producer_config, transactional_config
from consumer.kafka.exactly_once import ExactlyOnceCheckpoint
from consumer.kafka.offsets import GroupMetadata, OffsetCommitter
from consumer.kafka.publisher import Publisher
from consumer.kafka.source import Offsets
from consumer.kafka.transactions import FIRST_RETRY_S, LONGEST_RETRY_S, Transactions
from consumer.outputs import Outputs
from consumer.parts import Checkpoint
from consumer.settings import Settings
from schemas import DeadLetterReason


def open_delivery(
    settings: Settings,
    consumer: Member,
    assignment: Assignment,
    outputs: Outputs,
    stopping: Callable[[], bool],
    stack: ExitStack,
    *,
    on_replaced: Callable[[DeadLetterReason], None],
    on_checkpoint: Callable[[float], None],
) -> tuple[Offsets, Checkpoint]:
    """The two sides of a checkpoint: what the source's thread does for offsets, and what the publish stage does.

    `on_replaced` is told of results that became dead letters because their topic did not take them, `on_checkpoint` how
    long each checkpoint took, in seconds.
    """
    give_up_after_s = settings.kafka_delivery_timeout_ms / 1000

    def too_large(record: Record) -> Outgoing:
        detail = f"its tagged comment is too large for {settings.results_topic}; raise that topic's max.message.bytes"
        on_replaced(DeadLetterReason.RESULT_TOO_LARGE)
        return outputs.dead_letter(record, Refusal(DeadLetterReason.RESULT_TOO_LARGE, detail))

    if settings.delivery == "at-least-once":
        publisher = Publisher(make_producer(producer_config(settings)))
        stack.callback(publisher.close, timeout_s=1.0)
        committer = OffsetCommitter(consumer, assignment, timeout_s=give_up_after_s)
        return committer, AtLeastOnceCheckpoint(publisher, assignment, too_large=too_large, on_checkpoint=on_checkpoint)
    transactions = Transactions(
        make_producer(transactional_config(settings)),
        publish_timeout_s=settings.kafka_transaction_publish_timeout_ms / 1000,
        patience=Backoff(FIRST_RETRY_S, LONGEST_RETRY_S, give_up_after_s),
    )
    transactions.initialise(stopping)
    stack.callback(transactions.close)
    group = GroupMetadata(consumer, transactions.check)
    return group, ExactlyOnceCheckpoint(
        transactions,
        assignment,
        group.latest,
        too_large=too_large,
        on_checkpoint=on_checkpoint,
        commit_interval_s=settings.kafka_transaction_commit_interval_ms / 1000,
        max_records=settings.kafka_transaction_max_records,
    )
