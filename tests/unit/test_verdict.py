"""What is said about an answer: once for equal answers, and the same as JSON and as fields."""

import json

from consumer.answer import Answer, GivenTag
from consumer.policy import Policy
from consumer.verdict import Judge
from schemas import ModelInfo
from tests.fakes import TAG_GROUPS

MODEL = ModelInfo(name='a "quoted" name\n', version="1")
CLEAN = Answer((0.2, 0.3, 0.5, 0.01), truncated=False)
TOXIC = Answer((0.2, 0.3, 0.5, 0.99), truncated=True)


def test_the_json_says_what_the_fields_say() -> None:
    judge = Judge(tags_of=TAG_GROUPS.tags, model=MODEL, policy=Policy())
    for answer in (CLEAN, TOXIC):
        verdict, fields_json = judge.judged(answer)
        assert json.loads(b"{%b}" % fields_json) == judge.fields(answer, verdict)
        assert verdict == judge.verdict(answer)


def test_equal_answers_are_judged_once_and_others_are_not_mistaken_for_them() -> None:
    asked: list[Answer] = []

    def tags_of(answer: Answer) -> dict[str, GivenTag]:
        asked.append(answer)
        return TAG_GROUPS.tags(answer)

    judge = Judge(tags_of=tags_of, model=MODEL, policy=Policy())
    judged = [judge.judged(answer) for answer in (CLEAN, TOXIC, CLEAN, CLEAN._replace(truncated=True), TOXIC)]
    assert asked == [CLEAN, TOXIC, CLEAN._replace(truncated=True)]
    assert [one.verdict.decision.action for one in judged] == ["allow", "reject", "allow", "allow", "reject"]
    assert b'"truncated":true' in judged[3].fields_json
