"""From an item with its outcome to the message that is published: a tagged comment or a dead letter."""

from datetime import UTC, datetime

from consumer.answer import Answer
from consumer.batch import Decoded, Item, Outgoing, Record, Refusal
from consumer.json_bytes import without_member
from consumer.one_text import is_a_texts_fault
from consumer.verdict import Judge
from schemas import SCHEMA_VERSION, DeadLetterHeaders, DeadLetterReason
from schemas.dead_letter import to_kafka


class Outputs:
    """Builds messages with the verdicts of `judge`; it has no state of its own."""

    def __init__(
        self,
        *,
        results_topic: str,
        dead_letter_topic: str,
        include_text: bool,
        judge: Judge,
    ) -> None:
        self._results_topic = results_topic
        self._dead_letter_topic = dead_letter_topic
        self._include_text = include_text
        self._judge = judge

    def message(self, item: Item, processed_at: str) -> Outgoing:
        """The message for an item: its tagged comment when it has a comment and an answer (and then its verdict is set
        too), else its dead letter, also where the tagged comment cannot be built.

        Raises RuntimeError for an item with neither; nothing may be dropped in silence.
        """
        if item.comment is not None and item.answer is not None:
            try:
                return self._tagged(item, item.comment, item.answer, processed_at)
            except BaseException as error:
                if not is_a_texts_fault(error):
                    raise
                detail = f"building its tagged comment failed: {type(error).__name__}"
                item.refusal, item.verdict = Refusal(DeadLetterReason.TEXT_FAILS_MODEL, detail), None
        if item.refusal is not None:
            return self.dead_letter(item.record, item.refusal)
        record = item.record
        raise RuntimeError(f"{record.topic}-{record.partition} offset {record.offset} has neither tags nor a refusal")

    def dead_letter(self, record: Record, refusal: Refusal) -> Outgoing:
        """The record byte for byte, with the reason and its origin added to its headers."""
        added = DeadLetterHeaders(
            reason=refusal.reason,
            detail=refusal.detail,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp_ms,
        )
        return Outgoing(
            self._dead_letter_topic,
            record.key,
            record.value,
            [*record.headers, *to_kafka(added)],
            record,
            is_dead_letter=True,
        )

    def _tagged(self, item: Item, comment: Decoded, answer: Answer, processed_at: str) -> Outgoing:
        record = item.record
        # Here and not before: the cache keeps the answer for texts that are no longer than what was judged.
        item.verdict, fields_json = self._judge.judged(answer._replace(truncated=True) if comment.is_cut else answer)
        timestamp = "null" if record.timestamp_ms is None else record.timestamp_ms
        # By hand in 1.4 µs, where dictionaries take 3.0. Nothing here needs escaping: Kafka allows a topic's name
        # letters, digits, dots, dashes and underscores only.
        before_comment = f'{{"schema_version":"{SCHEMA_VERSION}","event_id":"{event_id(record)}","comment":'
        after_verdict = (
            f',"source":{{"topic":"{record.topic}","partition":{record.partition},"offset":{record.offset},'
            f'"timestamp":{timestamp}}},"answered_by":"{item.answered_by}","processed_at":"{processed_at}"}}'
        )
        value = b"%b%b,%b%b" % (
            before_comment.encode(),
            self._comment(comment.json),
            fields_json,
            after_verdict.encode(),
        )
        key = comment.comment_id.encode() if record.key is None else record.key
        headers = [*record.headers, *item.added_headers] if item.added_headers else record.headers
        return Outgoing(self._results_topic, key, value, headers, record, is_dead_letter=False)

    def _comment(self, value: bytes) -> bytes:
        """The comment's own JSON: numbers, key order and unknown fields come out exactly as they were sent.

        Line ends can only stand between tokens there, so blanks may take their place: an event is one line.
        """
        if not self._include_text:
            value = without_member(value, "text")
        if b"\n" in value or b"\r" in value:
            value = value.replace(b"\n", b" ").replace(b"\r", b" ")
        return value


def event_id(record: Record) -> str:
    """The same for the same source record, whoever processes it and how often; the timestamp tells a re-created topic's
    records apart."""
    return f"{record.topic}-{record.partition}-{record.offset}-{record.timestamp_ms or 0}"


def now_rfc3339() -> str:
    """This moment in UTC with milliseconds, such as 2026-03-01T09:30:00.291Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
