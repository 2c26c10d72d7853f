"""What the dashboard shows of the stream as a whole, and of its stages."""

from panels import gauge, lines, mean, number, p50_and_p99, quantile, rate, share

PUBLISHED = f"({rate('moderation_comments_read_total')} - {rate('moderation_left_to_other_members_total')})"
LAG = f"sum(max by (job, topic, partition) ({gauge('moderation_consumer_lag_records')}))"
LAG_SLOPE = f"sum(deriv({gauge('moderation_consumer_lag_records')}[$__rate_interval]))"
END_TO_END = "moderation_end_to_end_seconds"
OBJECTIVE_S = 2.5
"""As in prometheus/rules.yml."""

OVERVIEW = [
    number("Members", f"count({gauge('up')} == 1)", "short", "Processes that answer Prometheus."),
    number("Moderated", PUBLISHED, "cps", "Comments and dead letters published in a second."),
    number("Lag", LAG, "short", "Records that wait in Kafka, as the brokers say every 10 s.", warn=1_000, bad=10_000),
    number(
        "Median, end to end",
        quantile(0.5, END_TO_END),
        "s",
        "From a comment's timestamp in Kafka to its result being there.",
        bad=OBJECTIVE_S,
    ),
    number("99 %, end to end", quantile(0.99, END_TO_END), "s", "99 of 100 take at most this.", bad=OBJECTIVE_S),
    number(
        "Late, last hour",
        'max(job:moderation_end_to_end_late:ratio1h{job=~"$job"})',
        "percentunit",
        "Share that took longer than the objective; the objective allows 1 %.",
        warn=0.01,
        bad=0.144,
    ),
    number(
        "Dead letters",
        share(rate("moderation_dead_letters_total"), PUBLISHED),
        "percentunit",
        "Share of the records that cannot be processed.",
        warn=0.05,
        bad=0.5,
    ),
    number(
        "Alerts",
        'count(ALERTS{alertname=~"Moderation.+",alertstate="firing",job=~"$job"}) or vector(0)',
        "short",
        "Alerts that fire; deploy/OPERATIONS.md says what each means.",
        bad=1,
    ),
    lines(
        "Comments in and out",
        {"arriving": f"clamp_min({PUBLISHED} + {LAG_SLOPE}, 0)", "moderated": PUBLISHED},
        "cps",
        "What producers send is reckoned: what was moderated, and by how much the lag has grown.",
    ),
    lines(
        "Decisions", {"{{action}}": rate("moderation_decisions_total", by="action")}, "cps", "By action.", stacked=True
    ),
    lines(
        "Dead letters by reason",
        {"{{reason}}": rate("moderation_dead_letters_total", by="reason")},
        "cps",
        "`moderate dead-letters list` shows them.",
        stacked=True,
    ),
    lines(
        "Lag by partition",
        {"{{partition}}": f"max by (partition) ({gauge('moderation_consumer_lag_records')})"},
        "short",
        "One that grows alone has a hot key, or a member that stands still.",
        stacked=True,
    ),
    lines(
        "End to end",
        p50_and_p99(END_TO_END),
        "s",
        "From a comment's timestamp in Kafka to its result being there. The red line is the objective for 99 %.",
        limit=OBJECTIVE_S,
        log=True,
    ),
    lines(
        "Tags",
        {"{{group}} {{label}}": rate("moderation_tags_total", by="group, label")},
        "cps",
        "What people write, as the model sees it. A jump without a cause on the site is the model's or a producer's.",
    ),
]

STREAM = [
    lines(
        "How busy each stage is",
        {
            "{{stage}}": f"sum by (stage) (rate({gauge('moderation_stage_seconds_sum')}[$__rate_interval])) / "
            f"scalar(count({gauge('moderation_assigned_partitions')}))"
        },
        "percentunit",
        "Share of the time that a stage works, on average over the members. The one near 100 % is the bottleneck.",
        highest=1,
    ),
    lines("Time in a stage", p50_and_p99("moderation_stage_seconds", "stage"), "s", "Work on one batch."),
    lines(
        "Time in a queue",
        p50_and_p99("moderation_queue_seconds", "stage"),
        "s",
        "A batch's wait before each stage. Long waits stand before the bottleneck.",
    ),
    lines(
        "Batch size",
        {"mean": mean("moderation_batch_comments"), **p50_and_p99("moderation_batch_comments")},
        "short",
        "Comments in a batch: few when idle, MAX_BATCH_RECORDS when behind.",
    ),
    lines(
        "Checkpoint",
        p50_and_p99("moderation_checkpoint_seconds"),
        "s",
        "Until Kafka has acknowledged a batch or, with exactly-once, committed a transaction.",
    ),
    lines(
        "In flight",
        {"{{instance}}": gauge("moderation_in_flight_comments")},
        "short",
        "Comments read and not yet published.",
    ),
    lines(
        "Partitions held",
        {"{{instance}}": gauge("moderation_assigned_partitions")},
        "short",
        "A member with none is a spare: there are more members than partitions.",
        stacked=True,
    ),
    lines(
        "Left to other members",
        {"records": rate("moderation_left_to_other_members_total")},
        "cps",
        "Read again by another member after a rebalance. Always above zero means that the group never comes to rest.",
    ),
    lines(
        "Paused, and the dead-letter alarm",
        {
            "{{instance}} paused": gauge("moderation_paused"),
            "{{instance}} alarm": gauge("moderation_dead_letter_alarm"),
            "{{instance}} share": gauge("moderation_dead_letter_share"),
        },
        "short",
        "The consumer's own alarm (DEAD_LETTER_ALARM_SHARE), and whether it has stopped reading (DEAD_LETTER_PAUSE).",
        highest=1,
    ),
]
