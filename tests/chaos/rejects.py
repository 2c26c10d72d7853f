"""The results topic rejects what is written to it: too large, gone, forbidden."""

import random
import string
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from consumer.kafka.clients import common_config, make_admin
from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from tests.brokers import apache_kafka
from tests.chaos.flow import Flow, Outcome, Seen
from tests.chaos.processes import MemberProcess
from tests.chaos.report import Report, some
from tests.chaos.scenario import COMES_OUT_WITHIN_S, OPEN_TRANSACTION_S, PARTITIONS, Options, Scene, main, scene
from tests.chaos.verdict import out_of_order

TITLE = "the results topic rejects (message too large, topic deleted, ACL denied)"
MUST_HOLD = "dead letter or stop within a bounded time, nothing committed that did not come out; mended, the rest comes"

BROKER = """
auto.create.topics.enable=false
listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="admin-secret" user_admin="admin-secret" user_member="member-secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"""
"""The scenario is `admin`, the member `member`."""
ADMIN: dict[str, object] = {
    "kafka_security_protocol": "SASL_PLAINTEXT",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_sasl_username": "admin",
    "kafka_sasl_password": "admin-secret",
}
MEMBER = {"KAFKA_SASL_USERNAME": "member", "KAFKA_SASL_PASSWORD": "member-secret"}

DELIVERY_TIMEOUT_S = 10.0
STOPS_WITHIN_S = 3 * DELIVERY_TIMEOUT_S
"""Longer than KAFKA_DELIVERY_TIMEOUT_MS: a batch of before has its own, and leaving the group takes a while."""
EXACTLY = (ResourcePatternType.LITERAL, "User:member", "*")
RATE_PER_S = 50
LIMIT_BYTES = 2_000
EVERY_LARGE = 20
NOISE = "".join(random.Random(5).choices(string.ascii_letters + string.digits, k=20_000))
"""It does not compress."""


def run(report: Report, options: Options) -> None:
    """Every cause on one broker, with topics and a group of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="moderate-chaos-") as directory,
        apache_kafka(Path(directory), BROKER) as bootstrap,
    ):
        for cause in (_too_large, _dead_letter_too_large, _forbidden, _deleted):
            with _stage(options, bootstrap) as here:
                report.did(cause.__doc__ or "")
                cause(report, options, here)


def _too_large(report: Report, options: Options, here: Scene) -> None:
    """Some results are too large for the results topic: each becomes a dead letter, and the rest goes on."""
    _limit(here.settings, here.settings.results_topic, LIMIT_BYTES)
    flow, seen, _ = _begin(here, _sometimes_large)
    large = 3 if options.short else 10
    report.check(seen.wait_for(range(large * EVERY_LARGE), 120), "comments wait for ever behind one that is too large")
    _account(report, options, here, flow, [seen], in_order=False)
    wrong = {o.number for o in seen.outcomes if (o.reason == "result-too-large") != (o.number % EVERY_LARGE == 0)}
    report.check(not wrong, f"not exactly the large ones became dead letters: {some(sorted(wrong))}")


def _dead_letter_too_large(report: Report, options: Options, here: Scene) -> None:
    """The dead-letter topic is too small as well: the member stops, and goes on once that topic takes more."""
    for topic in (here.settings.results_topic, here.settings.dead_letter_topic):
        _limit(here.settings, topic, LIMIT_BYTES)
    flow, seen, member = _begin(here, _sometimes_large)
    _must_stop(report, member, here.settings.dead_letter_topic)
    seen.wait_for_end(OPEN_TRANSACTION_S)
    report.missing(*_committed_but_not_out(here.settings, seen.outcomes))
    _limit(here.settings, here.settings.dead_letter_topic, 20 * LIMIT_BYTES)
    member.start()
    _account(report, options, here, flow, [seen], in_order=False)


def _forbidden(report: Report, options: Options, here: Scene) -> None:
    """The member may no longer write to the results topic: it stops each time, and goes on once it may."""
    flow, seen, member = _begin(here)
    report.check(seen.wait_for(range(100), 60), "the flow did not begin")
    admin = make_admin(here.settings)
    rule = (ResourceType.TOPIC, here.settings.results_topic, *EXACTLY, AclOperation.WRITE, AclPermissionType.DENY)
    denial, same = AclBinding(*rule), AclBindingFilter(*rule)
    admin.create_acls([denial])[denial].result(30)
    _must_stop(report, member, here.settings.results_topic)
    _must_stop(report, member.start(), here.settings.results_topic)
    seen.wait_for_end(OPEN_TRANSACTION_S)
    report.missing(*_committed_but_not_out(here.settings, seen.outcomes))
    admin.delete_acls([same])[same].result(30)
    member.start()
    _account(report, options, here, flow, [seen], in_order=True)


def _deleted(report: Report, options: Options, here: Scene) -> None:
    """The results topic is deleted: the member stops each time, and goes on once the topic is there again."""
    flowing = Event()
    flowing.set()
    flow, before, member = _begin(here, lambda number: _comment_when(flowing, number))
    report.check(before.wait_for(range(100), 60), "the flow did not begin")
    flowing.clear()  # a result that is deleted before the scenario has read it would be missing
    unread = not before.wait_for(range(flow.sent), 60) or not before.wait_for_end(OPEN_TRANSACTION_S)
    report.check(not unread, "the scenario is broken: it deletes results that it has not read")
    admin, results = make_admin(here.settings), here.settings.results_topic
    admin.delete_topics([results])[results].result(30)
    flowing.set()
    _must_stop(report, member, results)
    before.stop()
    _must_stop(report, member.start(), results)
    report.missing(*_committed_but_not_out(here.settings, before.outcomes))
    create_topics(here.settings)
    after = here.seen()
    member.start()
    _account(report, options, here, flow, [before, after], in_order=True)


def _comment_when(flowing: Event, number: int) -> str:
    """Called just before the comment is sent, so waiting here holds the flow back."""
    flowing.wait()
    return f"comment number {number}"


@contextmanager
def _stage(options: Options, bootstrap: str) -> Iterator[Scene]:
    """Topics and a group, and what the member may do: read, write, and use transactions."""
    timeout_ms = int(DELIVERY_TIMEOUT_S * 1_000)
    with scene(options, bootstrap, kafka_delivery_timeout_ms=timeout_ms, **ADMIN) as here:
        rights = [
            AclBinding(kind, "*", *EXACTLY, operation, AclPermissionType.ALLOW)
            for kind, operation in (
                (ResourceType.TOPIC, AclOperation.READ),
                (ResourceType.TOPIC, AclOperation.WRITE),
                (ResourceType.GROUP, AclOperation.READ),
                (ResourceType.TRANSACTIONAL_ID, AclOperation.WRITE),
            )
        ]
        admin = make_admin(here.settings)
        for created in admin.create_acls(rights).values():
            created.result(30)
        yield here


def _limit(settings: Settings, topic: str, max_bytes: int) -> None:
    """Change the largest message that a topic takes."""
    entry = ConfigEntry("max.message.bytes", str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = make_admin(settings)
    admin.incremental_alter_configs([resource])[resource].result(30)


def _begin(here: Scene, text: Callable[[int], str] = "comment number {}".format) -> tuple[Flow, Seen, MemberProcess]:
    member = here.member("member", MEMBER).start()
    return Flow(here.settings, RATE_PER_S, keys=40, text=text).start(), here.seen(), member


def _sometimes_large(number: int) -> str:
    start = number % 10_000
    return NOISE[start : start + 9_000] if number % EVERY_LARGE == 0 else f"comment number {number}"


def _must_stop(report: Report, member: MemberProcess, name: str) -> None:
    """The member must end by itself, within a bounded time, non-zero, with a sentence that names `name`."""
    since_s = time.monotonic()
    status = member.wait(STOPS_WITHIN_S)
    errors = [event["error"] for event in member.events(since_start=True) if event["event"] == "stopped_by_error"]
    report.did(f"the member ended with {status} after {time.monotonic() - since_s:.1f} s: {' '.join(errors)}")
    if status <= 0:
        within = f"did not stop within {STOPS_WITHIN_S:g} s" if status == -1 else f"ended with {status}"
        report.missing(f"the member {within}; its log: {member.output()[-800:]}")
    elif not (len(errors) == 1 and name in errors[0]) or "Traceback" in member.output():
        report.missing(f"the member did not end with one sentence that names {name}; its log: {member.output()[-800:]}")


def _committed_but_not_out(settings: Settings, outcomes: list[Outcome]) -> list[str]:
    """For each partition of the input, the offsets that the group will not read again and nobody has seen."""
    came_out: dict[int, set[int]] = defaultdict(set)
    for outcome in outcomes:
        source_offset = outcome.event_id.removeprefix(f"{settings.input_topic}-").split("-")[1]
        came_out[outcome.source_partition].add(int(source_offset))
    group = Consumer(common_config(settings) | {"group.id": settings.kafka_group_id})
    partitions = [TopicPartition(settings.input_topic, partition) for partition in range(PARTITIONS)]
    committed = {p.partition: p.offset for p in group.committed(partitions, timeout=30)}
    group.close()
    gone = {p: sorted(set(range(offset)) - came_out[p]) for p, offset in committed.items()}
    return [
        f"partition {p} is committed up to {committed[p]}, but offsets {some(missing)} never came out"
        for p, missing in gone.items()
        if missing
    ]


def _account(report: Report, options: Options, here: Scene, flow: Flow, seens: list[Seen], *, in_order: bool) -> None:
    """Stop the flow and wait for what is left of it: each comment must have come out, in exactly-once a single time."""
    flow.stop()
    earlier = {number for seen in seens[:-1] for number in seen.numbers}
    seens[-1].wait_for(flow.acknowledged - earlier, COMES_OUT_WITHIN_S)
    report.missing(*here.terminate_members())
    report.check(seens[-1].wait_for_end(OPEN_TRANSACTION_S), "a transaction stayed open after all members had gone")
    outcomes = [outcome for seen in seens for outcome in seen.outcomes]
    event_ids: dict[int, list[str]] = defaultdict(list)
    for outcome in outcomes:
        event_ids[outcome.number].append(outcome.event_id)
    letters = sum(1 for outcome in outcomes if outcome.reason)
    repeated = [number for number, ids in event_ids.items() if len(ids) > 1]
    report.counted(sent=flow.sent, tagged=len(outcomes) - letters, dead_letters=letters, doubles=len(repeated))
    missing = flow.acknowledged - event_ids.keys()
    report.check(not missing, f"{len(missing)} comments never came out: {some(sorted(missing))}")
    changed = [number for number in repeated if len(set(event_ids[number])) > 1]
    report.check(not changed, f"comments came out again with another event id: {some(changed)}")
    report.check(not (repeated and options.exactly_once), f"comments came out more than once: {some(repeated)}")
    report.missing(*_committed_but_not_out(here.settings, outcomes))
    if in_order:
        report.missing(*(problem for seen in seens for problem in out_of_order(seen)))


if __name__ == "__main__":
    main(TITLE, MUST_HOLD, run)
