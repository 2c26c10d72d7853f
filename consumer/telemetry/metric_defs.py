"""Every metric this process shows at `/metrics`: name, kind, labels, meaning. `deploy/METRICS.md` is made of these.

Names follow Prometheus' conventions (base units, `_total` for counters). No label's values grow with users, texts or
time, so the number of series is bounded by the model's labels and the partitions held.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

from schemas import Action, AnsweredBy, DeadLetterReason
from schemas.comment import DECORATION_NAMES

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SECONDS_TO_HOURS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""The end-to-end latency of a consumer that catches up after a night is hours."""
POWERS_OF_TWO = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)

LAYERS = get_args(AnsweredBy)
STAGES = ("prepare", "classify", "publish")
CIRCUITS = ("reads", "writes")


@dataclass(frozen=True, eq=False, slots=True)
class MetricDef:
    """One metric, equal to itself only, so that looking it up costs no more than an identity.

    `buckets` are the upper bounds of a histogram's buckets. `values` are the values that its one label can have, where
    they are known beforehand: each is shown as 0 from the start, because Prometheus sees no increase in a series whose
    first sample is a 1.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: tuple[str, ...] = ()


COMMENTS_READ = MetricDef("moderation_comments_read_total", "counter", "Records read from the input topic.")
DECISIONS = MetricDef(
    "moderation_decisions_total", "counter", "Comments tagged, by decision.", ("action",), values=get_args(Action)
)
TAGS = MetricDef(
    "moderation_tags_total", "counter", "Tags given by the stream, by tag group and label.", ("group", "label")
)
ANSWERS = MetricDef(
    "moderation_answers_total", "counter", "Comments tagged by the stream, by what answered.", ("layer",), values=LAYERS
)
DEAD_LETTERS = MetricDef(
    "moderation_dead_letters_total",
    "counter",
    "Records that became dead letters, by reason; `result-too-large` ones are among the decisions too.",
    ("reason",),
    values=tuple(reason.value for reason in DeadLetterReason),
)
MISFITS = MetricDef(
    "moderation_misfits_total",
    "counter",
    "Fields of comments that came in another form than the contract describes; they travel on as they came.",
    ("field",),
    values=DECORATION_NAMES,
)
LEFT_TO_OTHERS = MetricDef(
    "moderation_left_to_other_members_total",
    "counter",
    "Records read and not published, because their partition went to another member or this one was stopped: they are "
    "read again.",
)

END_TO_END = MetricDef(
    "moderation_end_to_end_seconds",
    "histogram",
    "Seconds from a record's Kafka timestamp to its outcome being in Kafka; with exactly-once to its being sent, and "
    "the transaction's commit comes on top.",
    buckets=SECONDS_TO_HOURS,
)
QUEUE = MetricDef(
    "moderation_queue_seconds",
    "histogram",
    "Seconds a batch waited for a stage.",
    ("stage",),
    buckets=SECONDS,
    values=STAGES,
)
STAGE = MetricDef(
    "moderation_stage_seconds",
    "histogram",
    "Seconds a stage worked on a batch; the classify stage waits for the model.",
    ("stage",),
    buckets=SECONDS,
    values=STAGES,
)
CHECKPOINT = MetricDef(
    "moderation_checkpoint_seconds",
    "histogram",
    "Seconds until Kafka had acknowledged a batch's outcomes or, with exactly-once, had committed a transaction.",
    buckets=SECONDS,
)

BATCH_COMMENTS = MetricDef(
    "moderation_batch_comments", "histogram", "Comments in a batch, the unit of checkpointing.", buckets=POWERS_OF_TWO
)
PASS_TEXTS = MetricDef(
    "moderation_model_pass_texts",
    "histogram",
    "Texts in one forward pass of the model, the stream's and HTTP callers'; each of several models has its own.",
    buckets=POWERS_OF_TWO,
)
PASS_TOKENS = MetricDef(
    "moderation_model_pass_tokens",
    "histogram",
    "Tokens in one forward pass of the model, padding included.",
    buckets=TOKENS,
)
PASS_SECONDS = MetricDef(
    "moderation_model_pass_seconds", "histogram", "Seconds of one forward pass of the model.", buckets=SECONDS
)
PADDING_TOKENS = MetricDef(
    "moderation_model_padding_tokens_total",
    "counter",
    "Tokens of padding in forward passes; their share is this by `moderation_model_pass_tokens_sum`.",
)

LAG = MetricDef(
    "moderation_consumer_lag_records",
    "gauge",
    "Records between the group's committed offset and the end of each partition this member holds, asked for every "
    "10 s. Not shown while the brokers do not say, nor where the group has committed nothing and does not begin with "
    "the oldest record. Where producers use transactions it can stay at 1, for the last one's end.",
    ("topic", "partition"),
)
ASSIGNED = MetricDef("moderation_assigned_partitions", "gauge", "Partitions this member holds.")
IN_FLIGHT = MetricDef("moderation_in_flight_comments", "gauge", "Comments read whose outcome is not published yet.")

CACHE_OPEN = MetricDef(
    "moderation_cache_circuit_open",
    "gauge",
    "1 while Redis is not asked because it failed; `writes` alone means that it is still read. 0 without Redis.",
    ("circuit",),
    values=CIRCUITS,
)
DEAD_LETTER_SHARE = MetricDef(
    "moderation_dead_letter_share", "gauge", "Share of dead letters among the last minute's records, 0 to 1."
)
DEAD_LETTER_ALARM = MetricDef(
    "moderation_dead_letter_alarm", "gauge", "1 while that share has set off the alarm (DEAD_LETTER_ALARM_SHARE)."
)
PAUSED = MetricDef("moderation_paused", "gauge", "1 while nothing is read until SIGUSR1 (DEAD_LETTER_PAUSE).")

HTTP_REQUESTS = MetricDef(
    "moderation_http_requests_total", "counter", "HTTP requests answered, by route and status.", ("route", "status")
)
HTTP_SECONDS = MetricDef(
    "moderation_http_request_seconds", "histogram", "Seconds from an HTTP request to its answer.", ("route",), SECONDS
)
HTTP_TEXTS = MetricDef(
    "moderation_http_texts_total",
    "counter",
    "Texts answered for HTTP callers, by what answered.",
    ("layer",),
    (),
    LAYERS,
)
HTTP_WAITING = MetricDef("moderation_http_waiting_texts", "gauge", "Texts of HTTP callers that wait for the model.")

BUILD = MetricDef(
    "moderation_build_info",
    "gauge",
    "Always 1; its labels say what runs.",
    ("version", "model", "model_version", "policy_version"),
)

GROUPS: dict[str, tuple[MetricDef, ...]] = {
    "What came in, and what came of it": (
        *(COMMENTS_READ, DECISIONS, TAGS, ANSWERS),
        *(DEAD_LETTERS, MISFITS, LEFT_TO_OTHERS),
    ),
    "How long it takes": (END_TO_END, QUEUE, STAGE, CHECKPOINT),
    "The batches, and the model": (BATCH_COMMENTS, PASS_TEXTS, PASS_TOKENS, PASS_SECONDS, PADDING_TOKENS),
    "Where this member stands": (LAG, ASSIGNED, IN_FLIGHT),
    "What is wrong": (CACHE_OPEN, DEAD_LETTER_SHARE, DEAD_LETTER_ALARM, PAUSED),
    "HTTP callers": (HTTP_REQUESTS, HTTP_SECONDS, HTTP_TEXTS, HTTP_WAITING),
    "What runs": (BUILD,),
}
"""Every metric, for a reader."""

ALL: tuple[MetricDef, ...] = tuple(chain.from_iterable(GROUPS.values()))
